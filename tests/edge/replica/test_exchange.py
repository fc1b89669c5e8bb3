"""What an exchange leaves in the SQLite replica beyond the contract."""

import sqlite3
from dataclasses import replace

import pytest
from anabranch.replica import Fate, Link, Replica
from anabranch.replica.queries import SQL
from anabranch_sync.case import Case, Claim, Hand, Look
from anabranch_sync.errors import ProtocolViolation
from anabranch_sync.ids import Cursor, DocumentId
from anabranch_sync.pull import Notice
from anabranch_sync.register import DELETED
from anabranch_sync.scope import Scope

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import write

ROUTER = DocumentId("acme/prod/router", "config")
LIMITS = DocumentId("acme/prod/limits", "config")


def test_a_pull_that_comes_twice_is_refused_and_changes_nothing(replica: Replica, edge: Exchange) -> None:
    edge.hub.write(ROUTER, {"a": 1})
    edge.exchange()
    edge.hub.write(ROUTER, {"a": 2})
    pull = edge.pull()
    replica.apply(pull, NOW_MS)
    before = replica.standing()

    with pytest.raises(ProtocolViolation, match="at Cursor"):
        replica.apply(pull, NOW_MS)

    assert replica.standing() == before


def test_a_pull_that_names_a_change_never_written_is_refused(replica: Replica, edge: Exchange) -> None:
    edge.hub.write(LIMITS, {"a": 1})
    edge.exchange()
    write(replica, ROUTER, {"a": 1})
    edge.push()
    pull = edge.pull()

    with pytest.raises(ProtocolViolation, match="change 2"):
        replica.apply(replace(pull, runs=(replace(pull.runs[0], count=2),)), NOW_MS)

    assert len(replica.pending(0)) == 1


def test_a_piece_with_a_gap_before_it_is_refused(replica: Replica) -> None:
    replica.store_part(b"batch", 10, 0, b"012")

    with pytest.raises(ProtocolViolation, match="of which 3 are here"):
        replica.store_part(b"batch", 10, 4, b"4")
    replica.store_part(b"batch", 10, 0, b"012")

    partial = replica.standing().partial
    assert partial is not None
    assert partial.received == b"012"


def test_a_write_after_a_reset_still_says_what_its_author_had_seen(replica: Replica, edge: Exchange) -> None:
    edge.hub.write(ROUTER, {"a": 1})
    edge.exchange()
    replica.reset()

    entry = write(replica, ROUTER, {"a": 2})

    assert entry is not None
    assert entry.change.base == Cursor(edge.hub.epoch, edge.hub.hub_seq)
    edge.exchange()
    assert edge.hub.ledger == []


def test_a_refused_change_is_kept_whole(replica: Replica, edge: Exchange) -> None:
    write(replica, ROUTER, {"precious": "text"})
    edge.hub.scope = Scope(("acme/other",))
    edge.push()
    edge.hub.scope = SCOPE

    replica.apply(edge.pull(), NOW_MS)

    (refused,) = replica.refused()
    assert str(refused.dot) == f"{edge.incarnation}:1"
    assert [op.value for op in refused.change.ops] == ["text"]
    assert replica.read(ROUTER) is None
    assert [line.fate for line in replica.history(ROUTER)] == [Fate.REFUSED]


def test_a_notice_of_the_ledger_is_kept_with_all_its_values(replica: Replica, edge: Exchange) -> None:
    claims = (
        Claim(("a", "é"), None, {"x": [1, 1.0]}, (Hand("ada", "e1", 5), Hand("bob", "", 6, 70_000))),
        Claim(("a",), b"\xa1x", DELETED, (Hand("bob", "e2", 4),)),
    )
    looks = (Look("olga", 9, "why", (DELETED,)), Look("pete", 9, "", ()), Look("quinn", 9, "", None))
    notice = Notice(7, 3, True, Case(ROUTER, "prefix", "max", "router@1", claims, True, looks))
    edge.hub.write(ROUTER, {"a": 1})

    replica.apply(replace(edge.pull(), notices=(notice,)), NOW_MS)

    assert replica.notices() == [notice]


def test_the_history_tells_what_waits_what_was_merged_and_what_others_wrote(
    replica: Replica, edge: Exchange
) -> None:
    write(replica, ROUTER, {"a": 1})
    assert [line.fate for line in replica.history(ROUTER)] == [Fate.PENDING]
    edge.push()
    edge.acknowledge()
    assert [line.fate for line in replica.history(ROUTER)] == [Fate.SENT]
    replica.apply(edge.pull(), NOW_MS)
    edge.hub.write(ROUTER, {"a": 2})
    edge.exchange()
    write(replica, ROUTER, {"a": 3})

    lines = replica.history(ROUTER)

    assert [line.fate for line in lines] == [Fate.MERGED, Fate.RECEIVED, Fate.PENDING]
    assert [line.author for line in lines] == ["ada", "", "ada"]
    assert lines[1].version == 2


def test_the_version_of_an_own_change_is_told_where_it_is_known_for_sure(
    replica: Replica, edge: Exchange
) -> None:
    edge.exchange()
    for number in (1, 2):
        write(replica, ROUTER, {"a": number})
    edge.exchange()
    write(replica, ROUTER, {"a": 3})
    edge.hub.write(ROUTER, {"a": 2, "b": 1})
    edge.exchange()

    assert [(line.fate, line.version) for line in replica.history(ROUTER)] == [
        (Fate.MERGED, 1),
        (Fate.MERGED, 2),
        (Fate.MERGED, None),
        (Fate.RECEIVED, 4),
    ]


def test_the_link_is_noted_and_a_failure_does_not_make_the_last_word_younger(replica: Replica) -> None:
    replica.heard(link=Link.UP, now_ms=NOW_MS, clock_offset_ms=-250)
    replica.heard(link=Link.DOWN, now_ms=NOW_MS + 5_000)

    heard = replica.link()
    assert (heard.link, heard.heard_ms, heard.clock_offset_ms) == (Link.DOWN, NOW_MS, -250)


def test_what_the_link_has_carried_is_counted_with_the_note_that_it_is_up(replica: Replica) -> None:
    replica.heard(link=Link.UP, now_ms=NOW_MS, spent=(120, 80, NOW_MS))

    traffic = replica.traffic(NOW_MS)
    assert replica.link().heard_ms == NOW_MS
    assert (traffic.month_bytes_up, traffic.month_bytes_down) == (120, 80)


def test_facts_count_what_is_here(replica: Replica, edge: Exchange) -> None:
    edge.hub.write(ROUTER, {"a": 1})
    edge.exchange()
    write(replica, LIMITS, {"b": 1})

    facts = replica.facts()

    assert (facts.documents, facts.outbox, facts.unsent) == (2, 1, 1)
    assert facts.oldest_unsent_ms == NOW_MS
    assert facts.digest == edge.pull().digest
    assert facts.reserve


def test_documents_are_listed_by_whole_segments(replica: Replica) -> None:
    names = ["acme/prod", "acme/prod/a", "acme/prod/a/b", "acme/prod/ab", "acme/prod/a.b"]
    for name in names:
        write(replica, DocumentId(name, "config"), {"x": 1})
    write(replica, DocumentId("acme/prod/a", "gone"), {"x": 1})
    write(replica, DocumentId("acme/prod/a", "gone"), None)

    assert [each.document.namespace for each in replica.documents()] == sorted(names)
    assert [each.document.namespace for each in replica.documents("acme/prod/a")] == [
        "acme/prod/a",
        "acme/prod/a/b",
    ]
    assert replica.documents("acme/p") == []


@pytest.mark.parametrize("name", ["waiting_documents", "all_ahead", "outbox_of", "document", "changed"])
def test_what_each_pull_asks_looks_at_no_more_documents_than_it_has_to(replica: Replica, name: str) -> None:
    connection = sqlite3.connect(replica.path)
    parameters = (1,) * SQL[name].count("?")

    plan = connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", parameters).fetchall()

    connection.close()
    assert not [step for *_, step in plan if step.startswith("SCAN documents")]
