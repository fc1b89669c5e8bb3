"""What was absorbed on its way leaves the outbox with what stands for it, and fares as that did."""

from anabranch.replica import Fate, Replica
from anabranch_sync.absorbing import absorbed
from anabranch_sync.acknowledgement import Level
from anabranch_sync.ids import DocumentId
from anabranch_sync.scope import Scope

from tests.contracts.replica import NOW_MS, Exchange
from tests.edge.replica.sqlite_store import write

ROUTER = DocumentId("acme/prod/router", "config")


def pushed(edge: Exchange) -> None:
    opening = edge.hub.open_replica(edge.incarnation)
    edge.hub.decide(absorbed(edge.replica.pending(0), opening.chain), opening.chain)
    edge.acknowledge()


def test_every_change_keeps_its_version_and_its_line(replica: Replica, edge: Exchange) -> None:
    edge.exchange()
    written = [write(replica, ROUTER, {"a": number}) for number in range(10)]
    pushed(edge)

    pull = edge.pull()
    assert replica.apply(pull, NOW_MS) == pull.digest

    seen = replica.read(ROUTER)
    assert seen is not None
    assert (seen.content, seen.version, seen.pending) == ({"a": 9}, 10, 0)
    lines = replica.history(ROUTER)
    assert sorted((each.version, each.hub_seq, each.fate) for each in lines) == [
        (version, 1, Fate.MERGED) for version in range(1, 11)
    ]
    for each in written:
        assert each is not None
        told = replica.acknowledged(each.dot, each.content_id, each.change.base.epoch)
        assert told is not None
        assert (told.level, told.fate, told.hub_seq) == (Level.VISIBLE, Fate.MERGED, 1)


def test_what_is_refused_is_kept_whole(replica: Replica, edge: Exchange) -> None:
    for number in range(10):
        write(replica, ROUTER, {"a": number})
    edge.hub.scope = Scope(("acme/dev",))
    pushed(edge)

    replica.apply(edge.pull(), NOW_MS)

    assert replica.pending(0) == []
    assert [each.dot.local_seq for each in replica.refused()] == list(range(1, 11))
