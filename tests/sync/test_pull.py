"""Pulls: what a replica lacks and no more, and what it makes of it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import msgpack
import pytest
from anabranch_sync import pull_body
from anabranch_sync.case import Case, Claim, Hand, Look
from anabranch_sync.change import Change, Entry, Op, entry
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document, Object, rebuild
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import START, Cursor, DocumentId, Dot, document_id
from anabranch_sync.live import Quarantined
from anabranch_sync.merge import decide, overlay
from anabranch_sync.messages import PROTOCOL_MAX
from anabranch_sync.path import Path
from anabranch_sync.policy import NO_POLICIES
from anabranch_sync.pull import (
    Decided,
    Notice,
    Outcome,
    Pull,
    Result,
    Run,
    difference,
    fold,
    touched_in_order,
)
from anabranch_sync.pull_body import brief, decode_pull, encode_pull, packed_pull
from anabranch_sync.register import DELETED, PENDING, Slot, Value
from anabranch_sync.violation import Violation

DOCUMENT, OTHER = document_id("acme/prod"), document_id("acme/test")
ADA, BOB = 1, 2
EPOCH = 1


def change(at_ms: int, base: int, *ops: tuple[Path, Value], document: DocumentId = DOCUMENT) -> Change:
    return Change(
        at_ms, Cursor(EPOCH, base), "", "", tuple(Op(document, Slot(path), value) for path, value in ops)
    )


@dataclass
class Hub:
    """Documents, and what each actor wrote."""

    documents: dict[DocumentId, Document] = field(default_factory=dict)
    hub_seq: int = 0
    decided: dict[int, list[Decided]] = field(default_factory=dict)

    def take(
        self, actor: int, change: Change, outcome: Outcome = Outcome.MERGED, *, at_ms: int | None = None
    ) -> None:
        self.hub_seq += 1
        own = self.decided.setdefault(actor, [])
        own.append(Decided(self.hub_seq, len(own) + 1, change, outcome))
        if outcome is Outcome.MERGED:
            at = change.timestamp if at_ms is None else at_ms
            self.documents.update(
                decide(self.documents, change, actor, self.hub_seq, at, NO_POLICIES).documents
            )

    def difference(self, actor: int, after: int) -> dict[DocumentId, Document]:
        own = [each for each in self.decided.get(actor, []) if each.hub_seq > after]
        touched = {document for each in own for document in each.change.documents}
        changed = {
            document: state
            for document, state in self.documents.items()
            if state.hub_seq > after or document in touched
        }
        return difference(changed, after, actor, own)

    def pull(self, actor: int, after: int = 0) -> Pull:
        own = [each for each in self.decided.get(actor, []) if each.hub_seq > after]
        merged = [each for each in own if each.outcome is Outcome.MERGED]
        return Pull(
            Cursor(EPOCH, after),
            Cursor(EPOCH, self.hub_seq),
            ScopeDigest(),
            self.difference(actor, after),
            tuple(Run(each.local_seq, each.hub_seq, 1) for each in own),
            tuple(Result(each.local_seq, each.outcome, "") for each in own if each not in merged),
            versions=tuple(
                self.documents[document].version
                for document in touched_in_order(each.change for each in merged)
            ),
        )


def recorded(actor: int, *changes: Change) -> list[Entry]:
    return [entry(Dot(actor, number), each) for number, each in enumerate(changes, 1)]


def contents(documents: dict[DocumentId, Document]) -> dict[DocumentId, tuple[int, Object | None]]:
    return {document: (state.version, rebuild(state.registers)) for document, state in documents.items()}


def slots(sent: dict[DocumentId, Document]) -> list[str]:
    return sorted(str(slot) for state in sent.values() for slot in state.registers)


def folded(hub: Hub, actor: int, own: Sequence[Entry], confirmed: dict[DocumentId, Document]) -> None:
    after = max((state.hub_seq for state in confirmed.values()), default=0)
    confirmed |= fold(confirmed, actor, own, hub.pull(actor, after))


def test_only_registers_that_changed_travel_and_each_once() -> None:
    hub = Hub()
    hub.take(ADA, change(1, 0, (("a",), 1), (("b",), 1)))
    for number in range(5):
        hub.take(ADA, change(2, 0, (("b",), number)))

    assert slots(hub.difference(BOB, 0)) == ["/a", "/b"]
    assert slots(hub.difference(BOB, 1)) == ["/b"]
    assert hub.difference(BOB, 6) == {}


def test_own_writes_are_not_echoed_and_yet_confirmed() -> None:
    hub, mine = Hub(), change(5, 0, (("a",), 1), (("b",), [1]))
    hub.take(ADA, mine)

    pull = hub.pull(ADA)
    assert pull.documents == {}
    assert contents(fold({}, ADA, recorded(ADA, mine), pull)) == contents(hub.documents)
    assert fold({}, ADA, recorded(ADA, mine), pull) == hub.documents


def test_a_lost_write_comes_back_as_what_beat_it() -> None:
    hub, mine = Hub(), change(5, 0, (("a",), 1), (("b",), 1))
    hub.take(BOB, change(9, 0, (("a",), 2)))
    hub.take(ADA, mine)

    pull = hub.pull(ADA, after=1)

    assert slots(dict(pull.documents)) == ["/a"]
    confirmed = fold(fold({}, ADA, [], Hub(hub.documents).pull(ADA)), ADA, recorded(ADA, mine), pull)
    assert contents(confirmed) == {DOCUMENT: (2, {"a": 2, "b": 1})}


def test_a_write_that_never_stood_is_told_so_and_does_not_come_alive_later() -> None:
    # given a write below a scalar, which it lost to: the hub has no register at its place
    hub, mine = Hub(), change(5, 0, (("a", "b"), 1))
    hub.take(BOB, change(9, 0, (("a",), 5)))
    hub.take(ADA, mine)
    confirmed = fold({}, ADA, recorded(ADA, mine), hub.pull(ADA))
    assert contents(confirmed) == contents(hub.documents) == {DOCUMENT: (1, {"a": 5})}

    # when the scalar goes
    hub.take(BOB, change(10, 2, (("a",), DELETED)))
    folded(hub, ADA, [], confirmed)

    # then nothing is left, here as there
    assert contents(confirmed) == contents(hub.documents) == {DOCUMENT: (2, None)}


def test_a_clamped_write_comes_back_with_the_time_it_counts_with() -> None:
    hub, mine = Hub(), change(900, 0, (("a",), 1))
    hub.take(ADA, mine, at_ms=7)

    assert fold({}, ADA, recorded(ADA, mine), hub.pull(ADA)) == hub.documents


def test_a_refused_change_is_undone_and_those_behind_it_stand() -> None:
    hub = Hub()
    mine = [change(1, 0, (("a",), 1)), change(2, 0, (("a",), 2), (("b",), 2)), change(3, 0, (("c",), 3))]
    hub.take(ADA, mine[0])
    hub.take(ADA, mine[1], Outcome.REFUSED)
    hub.take(ADA, mine[2])

    confirmed = fold({}, ADA, recorded(ADA, *mine), hub.pull(ADA))

    assert confirmed == hub.documents
    assert contents(confirmed) == {DOCUMENT: (2, {"a": 1, "c": 3})}


def test_a_duplicate_is_not_applied_again() -> None:
    # given a change that the hub took under an earlier incarnation, and that somebody overwrote
    hub, mine = Hub(), change(1, 0, (("a",), 1))
    hub.take(9, mine)
    hub.take(BOB, change(2, 1, (("a",), 2)))

    # when it comes again under a new one
    hub.take(ADA, mine, Outcome.DUPLICATE)

    assert contents(fold({}, ADA, recorded(ADA, mine), hub.pull(ADA))) == {DOCUMENT: (2, {"a": 2})}


def test_versions_count_also_where_nothing_travels() -> None:
    hub = Hub()
    mine = [change(1, 0, (("a",), 1)), change(2, 0, (("x",), 1), document=OTHER), change(3, 0, (("a",), 2))]
    for each in mine:
        hub.take(ADA, each)

    pull = hub.pull(ADA)

    assert (pull.documents, pull.versions) == ({}, (2, 1))
    assert fold({}, ADA, recorded(ADA, *mine), pull) == hub.documents


def test_a_whole_pull_forgets_what_stood_before() -> None:
    hub = Hub()
    hub.take(BOB, change(1, 0, (("a",), 1)))
    stale = fold({}, ADA, [], hub.pull(ADA))
    other = Hub()
    other.take(BOB, change(2, 0, (("b",), 1)))

    confirmed = fold(stale, ADA, [], replace(other.pull(ADA), whole=True))

    assert contents(confirmed) == {DOCUMENT: (1, {"b": 1})}


def test_folding_does_not_modify_what_was_confirmed() -> None:
    hub = Hub()
    hub.take(BOB, change(1, 0, (("a",), 1)))
    confirmed = fold({}, ADA, [], hub.pull(ADA))
    kept = {document: dict(state.registers) for document, state in confirmed.items()}
    hub.take(BOB, change(2, 1, (("a",), 2), (("b",), 2)))

    fold(confirmed, ADA, [], hub.pull(ADA, after=1))

    assert {document: dict(state.registers) for document, state in confirmed.items()} == kept


def test_a_run_of_any_length_costs_nothing() -> None:
    endless = Pull(START, Cursor(EPOCH, 5), ScopeDigest(), {}, (Run(1, 1, 2**62),))

    assert fold({}, ADA, [], endless) == {}


def test_readers_see_their_own_writes_at_once_and_as_the_hub_will_decide_them() -> None:
    # given what is confirmed, and a write that had not seen it
    hub = Hub()
    hub.take(BOB, change(9, 0, (("a",), 2), (("b",), 2)))
    confirmed = fold({}, ADA, [], hub.pull(ADA))[DOCUMENT]
    mine = [change(5, 0, (("a",), 1)), change(6, 1, (("b",), 3))]

    # when they are overlaid
    visible = overlay(DOCUMENT, confirmed, recorded(ADA, *mine), NO_POLICIES)

    # then the one loses to what it had not seen, the other stands, and so the hub decides
    assert rebuild(visible.registers) == {"a": 2, "b": 3}
    for each in mine:
        hub.take(ADA, each)
    assert rebuild(hub.documents[DOCUMENT].registers) == rebuild(visible.registers)


def test_an_overlay_leaves_other_documents_and_what_is_confirmed_alone() -> None:
    mine = recorded(ADA, change(5, 0, (("a",), 1), document=OTHER))

    assert overlay(DOCUMENT, EMPTY, mine, NO_POLICIES) is EMPTY
    shown = overlay(OTHER, EMPTY, mine, NO_POLICIES)
    assert shown.hub_seq == PENDING
    assert EMPTY.registers == {}


OTHER = document_id("acme/prod/other")
VIOLATION = Violation("/min", "min below max", "/min is 8 and /max is 5", "/min at most 5")
HAND = Hand("ada", "", 9 << 16)
NOTICE = Notice(
    3,
    9,
    False,
    Case(
        DOCUMENT,
        "prefix",
        "max",
        "router@1",
        (
            Claim(("a", "b"), None, [1], (HAND, Hand("", "shop", 2**62, 61_000))),
            Claim(("a",), None, DELETED, (HAND,)),
            Claim(("a", "b"), b"\xa1x", None, (HAND,)),
        ),
        True,
        (Look("olga", 9, "why", (None,)), Look("pete", 9, "", ()), Look("quinn", 9, "")),
        True,
    ),
)
SHORT = Notice(
    1,
    1,
    True,
    Case(DOCUMENT, "value", "latest", "", (Claim((), None, {}, (HAND,)), Claim((), None, 1, (HAND,)))),
)


def test_of_more_notices_than_a_pull_has_room_for_the_newest_travel() -> None:
    # given conflicts over long texts in which nothing repeats
    chance = random.Random(7)
    texts = (chance.randbytes(1_000).hex() for _ in range(8))
    long = [
        Notice(number, number, True, replace(SHORT.case, claims=(Claim((), None, {"text": text}, (HAND,)),)))
        for number, text in enumerate(texts, 1)
    ]
    pull = Pull(Cursor(1, 4), Cursor(1, 9), ScopeDigest(2, 123), {}, notices=tuple(long))

    # when there is room for three of them, expanded or as they travel
    few = encode_pull(pull, bytes_max=7_000)
    with patch.object(pull_body, "BATCH_BYTES_MAX", 7_000):
        packed = packed_pull(pull, PROTOCOL_MAX)

    # then neither is a pull that its reader refuses again and again
    assert decode_pull(few).notices == tuple(long[-3:])
    assert len(few) <= 7_000
    assert decode_pull(packed.body).notices == tuple(long[-3:])
    assert decode_pull(encode_pull(pull)) == pull


@pytest.mark.parametrize(
    "pull",
    [
        Pull(START, START, ScopeDigest(), {}),
        Pull(Cursor(1, 2), Cursor(3, 1), ScopeDigest(5, 2**128 - 1), {DOCUMENT: EMPTY}, whole=True),
        Pull(
            Cursor(1, 2), Cursor(1, 9), ScopeDigest(1, 1), {}, (Run(1, 3, 4), Run(7, 9, 1)),
            (Result(3, Outcome.REFUSED, "outside the scope"),), (NOTICE, SHORT), (4, 0),
        ),
        Pull(START, Cursor(1, 4), ScopeDigest(1, 1), {DOCUMENT: EMPTY}, quarantined={
            DOCUMENT: Quarantined({"b": [1, 1.0], "a": {}}, 3, (VIOLATION, VIOLATION)),
            OTHER: Quarantined(None, 0, (VIOLATION,)),
        }),
        Pull(
            Cursor(1, 4), Cursor(1, 4), ScopeDigest(1, 1), {DOCUMENT: EMPTY},
            replaced=frozenset({DOCUMENT, OTHER}),
        ),
    ],
)  # fmt: skip
def test_a_pull_survives_its_bytes(pull: Pull) -> None:
    body = encode_pull(pull)

    assert decode_pull(body) == pull
    assert encode_pull(decode_pull(body)) == body


def test_a_brief_pull_goes_on_from_where_its_reader_is_and_tells_whether_it_is_equal() -> None:
    after, upto, digest = Cursor(1, 400), Cursor(1, 409), ScopeDigest(7, 2**127 + 5)
    pull = Pull(after, upto, digest, {DOCUMENT: EMPTY}, (Run(1, 401, 4),))
    body = encode_pull(pull)

    came = decode_pull(brief(body), after=after)

    assert (came.after, came.upto, came.documents, came.runs) == (after, upto, pull.documents, pull.runs)
    assert len(brief(body)) < len(body) - 12
    for told in (pull, came):
        assert told.proves(digest)
        assert not told.proves(digest.replaced(0, 1))


@pytest.mark.parametrize(
    "quarantined",
    [
        [["acme/prod", "x", 1, {}, []]],
        [["acme/prod", "x", 1, [1], [["", "", "", ""]]]],
        [["acme/prod", "x", -1, {}, [["", "", "", ""]]]],
        [["acme/prod", "x", 1, {}, [["", "", "", 4]]]],
        [["acme/prod", "x", 1, {}, [["", "", ""]]]],
        [["acme//prod", "x", 1, {}, [["", "", "", ""]]]],
        [["acme/prod", "x", 1, {}]],
        [["acme/prod", "x", 1, {}, [["", "", "", ""]]]] * 2,
        {},
    ],
)
def test_a_quarantined_document_that_makes_no_sense_is_refused(quarantined: object) -> None:
    row = [0, 0, 0, 0, b"", [], [], None, [], [], False, 0, quarantined]
    with pytest.raises(CorruptFrame):
        decode_pull(msgpack.packb(row))


@pytest.mark.parametrize(
    "body", [b"", b"\x90", b"\x80", b"\xc0", encode_pull(Pull(START, START, ScopeDigest(), {}))[:-1]]
)
def test_what_is_no_pull_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptFrame):
        decode_pull(body)
