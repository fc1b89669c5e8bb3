"""What every replica keeps, whatever its disk: inherited by the SQLite one and by the simulator's.

A subclass says how to make one and how to start it again after its process was killed. The hub on
the other side is the simulator's, which decides and draws pulls with the core's own functions.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from anabranch_hub.simulation.log_key import LogKey
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.acknowledgement import Level, Marks
from anabranch_sync.change import CHAIN_START, Entry, chained
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Document, Object
from anabranch_sync.ids import HUB_INCARNATION, START, Cursor, DocumentId
from anabranch_sync.outbox import PUSH_BYTES_MAX, Continuity, is_continued
from anabranch_sync.pull import Pull
from anabranch_sync.register import Register, Slot, Stamp
from anabranch_sync.reoffer import Reoffer
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import SLICE_BYTES_MAX, Offer, Part
from anabranch_sync.standing import Standing
from anabranch_sync.value import same
from anabranch_sync.witness import Witnessed

from tests.sync.logs import log_with

SCOPE = Scope(("acme/prod",))
ROUTER = DocumentId("acme/prod/router", "config")
LIMITS = DocumentId("acme/prod/limits", "config")
SCHEMA = DocumentId("system/schemas", "router")
NOW_MS = 1_750_000_000_000
UNION: Object = {"x-anabranch-merge": "union"}


class ReplicaStore(Protocol):
    """What an exchange and a writer ask of a replica."""

    def commit(self, document: DocumentId, content: Object | None, *, now_ms: int) -> Entry | None: ...
    def content(self, document: DocumentId) -> Object | None: ...
    def standing(self) -> Standing: ...
    def pending(self, after: int) -> Sequence[Entry]: ...
    def marks(self) -> Marks: ...
    def note_stored(self, stored_mark: int) -> None: ...
    def acknowledge(self, push_mark: int, chain: bytes) -> None: ...
    def store_part(self, batch: bytes, total: int, offset: int, piece: bytes) -> None: ...
    def discard(self) -> None: ...
    def apply(
        self, pull: Pull, reoffer: Reoffer | None = None, rescoped: Scope | None = None
    ) -> ScopeDigest: ...
    def overtake(self, pull: Pull) -> bool: ...
    def stage(self, names: Sequence[bytes]) -> None: ...
    def keep(self, name: bytes, sealed: bytes) -> None: ...
    def adopt(self, incarnation: int) -> None: ...
    def reset(self) -> None: ...
    def witness(self, witnessed: Witnessed, hub_seq: int, *, epoch: int = 0, broken: str = "") -> None: ...
    def distrust(self, reason: str, checkpoint: bytes) -> None: ...


@dataclass
class Clock:
    """The hub's."""

    now_ms: int = NOW_MS


class Exchange:
    """A replica and its hub, without sessions or network."""

    def __init__(self, replica: ReplicaStore, hub: MemoryHub) -> None:
        self.replica = replica
        self.hub = hub
        self.incarnation = hub.open_replica(0).incarnation
        replica.adopt(self.incarnation)

    def push(self) -> None:
        """Carry what the hub lacks of the outbox to it; the replica does not hear of it."""
        opening = self.hub.open_replica(self.incarnation)
        entries = [
            each
            for each in self.replica.pending(self.replica.standing().push_mark)
            if each.dot.local_seq > opening.push_mark
        ]
        if entries:
            self.hub.decide(entries, opening.chain)

    def acknowledge(self) -> None:
        """Tell the replica what the hub has merged."""
        opening = self.hub.open_replica(self.incarnation)
        self.replica.acknowledge(opening.push_mark, opening.chain)

    def pull(self, replaced: frozenset[DocumentId] = frozenset()) -> Pull:
        """What the hub would send now, these documents whole."""
        cursor = self.replica.standing().cursor
        pull = self.hub.pull(self.incarnation, cursor, always=True, replaced=replaced)
        assert pull is not None, "always"
        return pull

    def offer(self) -> Offer:
        """The snapshot the hub would offer now, each document in a part of its own."""
        self.hub.offers, self.hub.cut_bytes = lambda: True, SLICE_BYTES_MAX
        offer = self.hub.draw(self.incarnation, self.replica.standing().cursor, always=True)
        assert isinstance(offer, Offer)
        return offer

    def fetch(self, *parts: Part) -> None:
        """Let these parts arrive."""
        for part in parts:
            sealed = self.hub.part(part.name)
            assert sealed is not None, "a part of the last offer"
            self.replica.keep(part.name, sealed)

    def exchange(self) -> None:
        """All of it, once."""
        self.push()
        self.acknowledge()
        pull = self.pull()
        assert self.replica.apply(pull) == pull.digest


def made_of(content: Object, hub: MemoryHub) -> Document:
    """A document of the hub's that came to be `content` without anybody's change."""
    stamp = Stamp(NOW_MS << 16, HUB_INCARNATION, hub.hub_seq)
    registers = {Slot((name,)): Register(value, (stamp,)) for name, value in content.items()}
    return Document(registers, 1)


class ReplicaSuite(ABC):
    """What every suite of replicas needs."""

    @abstractmethod
    def make(self, folder: Path) -> ReplicaStore:
        """A new replica of SCOPE under incarnation 1, its files in `folder`."""

    @abstractmethod
    def again(self, replica: ReplicaStore) -> ReplicaStore:
        """The replica after its process was killed and started again."""

    @pytest.fixture
    def replica(self, tmp_path: Path) -> ReplicaStore:
        return self.make(tmp_path)

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def hub(self, clock: Clock) -> MemoryHub:
        return MemoryHub(SCOPE, lambda: clock.now_ms)

    @pytest.fixture
    def edge(self, replica: ReplicaStore, hub: MemoryHub) -> Exchange:
        return Exchange(replica, hub)


class ReplicaContract(ReplicaSuite):
    """The suite."""

    # Writing.

    def test_a_new_replica_stands_at_the_start(self, replica: ReplicaStore) -> None:
        standing = replica.standing()

        assert standing.cursor == START
        assert (standing.incarnation, standing.push_mark, standing.last_local) == (1, 0, 0)
        assert (standing.chain, standing.partial, standing.digest) == (CHAIN_START, None, ScopeDigest())
        assert list(replica.pending(0)) == []
        assert replica.content(ROUTER) is None

    def test_a_write_is_read_at_once_and_waits_in_the_outbox(self, replica: ReplicaStore) -> None:
        content: Object = {"a": {"b": 1}, "l": [1, 1.0, True], "e": {}}

        entry = replica.commit(ROUTER, content, now_ms=NOW_MS)

        assert entry is not None
        assert same(replica.content(ROUTER) or {}, content)
        assert [each.body for each in replica.pending(0)] == [entry.body]
        assert replica.standing().digest == ScopeDigest()

    def test_a_write_that_says_nothing_new_is_no_change(self, replica: ReplicaStore) -> None:
        replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)

        assert replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS) is None
        assert replica.commit(LIMITS, None, now_ms=NOW_MS) is None
        assert replica.standing().last_local == 1

    def test_writes_are_numbered_without_gaps_and_their_timestamps_grow_when_the_clock_goes_back(
        self, replica: ReplicaStore
    ) -> None:
        entries = [
            replica.commit(ROUTER, {"a": number}, now_ms=NOW_MS - number * 86_400_000)
            for number in range(1, 4)
        ]

        written = [each for each in entries if each is not None]
        assert [each.dot.local_seq for each in written] == [1, 2, 3]
        stamps = [each.change.timestamp for each in written]
        assert stamps == sorted(set(stamps))

    def test_a_delete_leaves_nothing_to_read_and_can_be_written_over(self, replica: ReplicaStore) -> None:
        replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)

        replica.commit(ROUTER, None, now_ms=NOW_MS)
        assert replica.content(ROUTER) is None
        replica.commit(ROUTER, {"b": 2}, now_ms=NOW_MS)
        assert replica.content(ROUTER) == {"b": 2}

    def test_what_was_written_survives_a_kill(self, replica: ReplicaStore) -> None:
        for number in range(40):
            replica.commit(ROUTER, {"a": number, "b": {str(number): 1}}, now_ms=NOW_MS)
        before = [each.body for each in replica.pending(0)]

        replica = self.again(replica)

        assert replica.content(ROUTER) == {"a": 39, "b": {"39": 1}}
        assert [each.body for each in replica.pending(0)] == before
        assert replica.standing().last_local == 40

    # How far writes have come.

    def test_a_change_is_stored_then_merged_then_visible(self, replica: ReplicaStore, edge: Exchange) -> None:
        # given two changes
        for number in (1, 2):
            replica.commit(ROUTER, {"a": number}, now_ms=NOW_MS)
        assert replica.marks() == Marks(written=2)
        assert replica.marks().level(1) is None

        # then each acknowledgement moves its own mark and those before it
        replica.note_stored(1)
        assert replica.marks() == Marks(2, stored=1)
        edge.push()
        edge.acknowledge()
        assert replica.marks() == Marks(2, stored=2, merged=2)
        replica.apply(edge.pull())
        assert replica.marks() == Marks(2, 2, 2, visible=2)
        assert replica.marks().level(2) is Level.VISIBLE

    def test_marks_survive_a_kill_and_never_go_back(self, replica: ReplicaStore, edge: Exchange) -> None:
        for number in (1, 2, 3):
            replica.commit(ROUTER, {"a": number}, now_ms=NOW_MS)

        replica.note_stored(2)
        replica.note_stored(1)

        assert self.again(replica).marks() == Marks(3, stored=2)

    def test_under_a_new_incarnation_nothing_is_stored_before_it_is_sent_again(
        self, replica: ReplicaStore, edge: Exchange
    ) -> None:
        replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
        replica.note_stored(1)

        replica.adopt(edge.incarnation + 1)

        assert replica.marks() == Marks(written=1)

    # The way up.

    def test_a_push_carries_what_fits_into_one_and_the_next_the_rest(self, replica: ReplicaStore) -> None:
        for number in range(6):
            replica.commit(ROUTER, {"text": str(number) * 200_000}, now_ms=NOW_MS)

        first = list(replica.pending(0))
        rest = list(replica.pending(first[-1].dot.local_seq))

        assert sum(len(each.body) for each in first) <= PUSH_BYTES_MAX
        assert [each.dot.local_seq for each in (*first, *rest)] == [1, 2, 3, 4, 5, 6]

    def test_an_acknowledgement_moves_the_mark_and_what_it_covers_stays_readable(
        self, replica: ReplicaStore
    ) -> None:
        replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
        replica.commit(ROUTER, {"a": 2}, now_ms=NOW_MS)
        first, second = replica.pending(0)
        chain = chained(CHAIN_START, first.body)

        replica.acknowledge(1, chain)
        replica = self.again(replica)

        standing = replica.standing()
        assert (standing.push_mark, standing.chain) == (1, chain)
        assert [each.dot for each in replica.pending(1)] == [second.dot]
        assert replica.content(ROUTER) == {"a": 2}

    def test_the_chain_continues_over_a_kill(self, replica: ReplicaStore) -> None:
        replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
        replica = self.again(replica)
        replica.commit(ROUTER, {"a": 2}, now_ms=NOW_MS)

        chain = CHAIN_START
        for each in replica.pending(0):
            chain = chained(chain, each.body)

        here = Continuity(1, 0, replica.standing().chain)
        assert is_continued(here, replica.pending(0), 2, chain)

    # The way down.

    def test_a_pull_confirms_own_changes_and_empties_the_outbox(self, edge: Exchange) -> None:
        replica = edge.replica
        replica.commit(ROUTER, {"a": 1, "b": [1]}, now_ms=NOW_MS)
        replica.commit(LIMITS, {"c": 2}, now_ms=NOW_MS)

        edge.exchange()

        replica = self.again(replica)
        standing = replica.standing()
        assert standing.cursor == Cursor(edge.hub.epoch, edge.hub.hub_seq)
        assert list(replica.pending(standing.push_mark)) == []
        assert standing.digest.count == 2
        assert replica.content(ROUTER) == {"a": 1, "b": [1]}

    def test_a_pull_tells_that_a_change_is_merged_when_its_acknowledgement_was_lost(
        self, edge: Exchange
    ) -> None:
        edge.replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
        edge.push()

        edge.replica.apply(edge.pull())
        edge.replica.commit(ROUTER, {"a": 2}, now_ms=NOW_MS)
        edge.acknowledge()

        assert [each.dot.local_seq for each in edge.replica.pending(1)] == [2]
        assert edge.replica.content(ROUTER) == {"a": 2}

    def test_what_others_wrote_and_what_waits_here_are_read_together(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1, "b": 1})
        edge.exchange()
        edge.replica.commit(ROUTER, {"a": 2, "b": 1}, now_ms=NOW_MS)
        edge.hub.write(ROUTER, {"a": 1, "b": 3})

        edge.replica.apply(edge.pull())

        assert edge.replica.content(ROUTER) == {"a": 2, "b": 3}
        assert len(edge.replica.pending(0)) == 1

    def test_a_concurrent_write_is_read_as_the_hub_will_decide_it(self, edge: Exchange, clock: Clock) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.exchange()
        edge.replica.commit(ROUTER, {"a": "mine, earlier"}, now_ms=NOW_MS + 1_000)
        clock.now_ms += 60_000
        edge.hub.write(ROUTER, {"a": "theirs, later"})

        edge.replica.apply(edge.pull())
        seen = edge.replica.content(ROUTER)
        edge.exchange()

        assert seen == {"a": "theirs, later"}
        assert edge.replica.content(ROUTER) == seen

    def test_a_schema_that_arrives_judges_what_waits(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.exchange()
        edge.replica.commit(ROUTER, {"a": "mine, later"}, now_ms=NOW_MS + 1_000)
        edge.hub.write(ROUTER, {"a": "theirs"})
        edge.hub.write(SCHEMA, {"namespaces": ["acme/prod/*"], "schema": {"x-anabranch-merge": "hub"}})

        edge.replica.apply(edge.pull())
        seen = self.again(edge.replica).content(ROUTER)

        assert seen == {"a": "theirs"}

    def test_a_refused_change_leaves_and_what_stood_before_it_is_read_again(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.exchange()
        edge.replica.commit(ROUTER, {"a": 2}, now_ms=NOW_MS)
        edge.hub.scope = Scope(("acme/other",))
        edge.push()
        edge.hub.scope = SCOPE

        edge.replica.apply(edge.pull())

        assert edge.replica.content(ROUTER) == {"a": 1}
        assert list(edge.replica.pending(0)) == []

    def test_a_deletion_by_others_arrives(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.exchange()
        edge.hub.write(ROUTER, None)

        edge.exchange()

        assert edge.replica.content(ROUTER) is None
        assert edge.replica.standing().digest == ScopeDigest()

    def test_a_whole_pull_replaces_what_was_confirmed_and_keeps_what_waits(self, edge: Exchange) -> None:
        edge.hub.write(LIMITS, {"old": 1})
        edge.exchange()
        edge.replica.commit(ROUTER, {"mine": 1}, now_ms=NOW_MS)
        elsewhere = MemoryHub(SCOPE, lambda: NOW_MS)
        elsewhere.write(ROUTER, {"theirs": 1})
        edge.replica.reset()
        pull = elsewhere.pull(elsewhere.open_replica(0).incarnation, START, always=True)
        assert pull is not None

        digest = edge.replica.apply(pull)

        assert digest == pull.digest
        replica = self.again(edge.replica)
        assert replica.content(LIMITS) is None
        assert replica.content(ROUTER) == {"mine": 1, "theirs": 1}
        assert len(replica.pending(0)) == 1

    def test_a_reset_changes_nothing_that_is_read_and_the_next_pull_heals(self, edge: Exchange) -> None:
        edge.replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
        edge.exchange()
        edge.replica.commit(ROUTER, {"a": 2}, now_ms=NOW_MS)
        edge.replica.store_part(b"half", 10, 0, b"12345")

        edge.replica.reset()

        assert edge.replica.standing().cursor == START
        assert edge.replica.standing().partial is None
        assert edge.replica.content(ROUTER) == {"a": 2}
        edge.exchange()
        assert edge.replica.content(ROUTER) == {"a": 2}
        assert edge.replica.standing().digest == edge.pull().digest

    def test_a_replaced_document_is_what_the_hub_has_and_what_waits_here_stays(self, edge: Exchange) -> None:
        edge.hub.write(LIMITS, {"b": 1})
        edge.replica.commit(ROUTER, {"a": 1, "wrong": True}, now_ms=NOW_MS)
        edge.exchange()
        edge.replica.commit(ROUTER, {"a": 2, "wrong": True}, now_ms=NOW_MS)
        edge.hub.documents[ROUTER] = made_of({"a": 1}, edge.hub)

        edge.replica.apply(edge.pull(frozenset({ROUTER})))

        replica = self.again(edge.replica)
        assert replica.content(ROUTER) == {"a": 2}
        assert replica.content(LIMITS) == {"b": 1}
        assert len(replica.pending(0)) == 1
        edge.exchange()
        assert edge.hub.read(ROUTER) == {"a": 2}

    def test_own_changes_that_merged_are_in_a_replaced_document_once(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.exchange()
        edge.replica.commit(ROUTER, {"a": 2}, now_ms=NOW_MS)
        edge.replica.commit(LIMITS, {"b": 2}, now_ms=NOW_MS)
        edge.push()
        edge.acknowledge()

        pull = edge.pull(frozenset({ROUTER}))

        assert edge.replica.apply(pull) == pull.digest
        assert edge.replica.content(ROUTER) == {"a": 2}
        assert edge.replica.content(LIMITS) == {"b": 2}
        assert list(edge.replica.pending(0)) == []

    def test_a_replaced_document_that_the_hub_does_not_have_is_dropped(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.hub.write(LIMITS, {"b": 1})
        edge.exchange()
        edge.replica.commit(LIMITS, {"b": 1, "c": 2}, now_ms=NOW_MS)
        del edge.hub.documents[ROUTER], edge.hub.documents[LIMITS]

        pull = edge.pull(frozenset({ROUTER, LIMITS}))

        assert edge.replica.apply(pull) == pull.digest == ScopeDigest()
        assert self.again(edge.replica).content(ROUTER) is None
        assert edge.replica.content(LIMITS) == {"c": 2}

    def test_documents_are_replaced_where_nothing_has_happened_since(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.exchange()
        before = edge.replica.standing()
        pull = edge.pull(frozenset({ROUTER, LIMITS}))

        edge.replica.apply(pull)

        assert edge.replica.standing() == before
        assert edge.replica.content(ROUTER) == {"a": 1}

    # Pieces of a pull.

    def test_the_head_of_a_batch_survives_a_kill_until_another_batch_begins(
        self, replica: ReplicaStore
    ) -> None:
        replica.store_part(b"first", 10, 0, b"0123")
        replica.store_part(b"first", 10, 4, b"45")

        replica = self.again(replica)
        partial = replica.standing().partial
        assert partial is not None
        assert (partial.batch, partial.total, partial.received) == (b"first", 10, b"012345")

        replica.store_part(b"other", 8, 0, b"ab")
        partial = replica.standing().partial
        assert partial is not None
        assert (partial.batch, partial.total, partial.received) == (b"other", 8, b"ab")

    def test_a_batch_that_comes_again_in_other_pieces_goes_on_where_it_was(
        self, replica: ReplicaStore
    ) -> None:
        for offset, piece in ((0, b"0123"), (4, b"45"), (0, b"012"), (3, b"34567")):
            replica.store_part(b"first", 10, offset, piece)

        partial = replica.standing().partial
        assert partial is not None
        assert partial.received == b"01234567"

    def test_a_batch_that_is_applied_is_forgotten(self, edge: Exchange) -> None:
        edge.replica.store_part(b"first", 10, 0, b"0123")

        edge.exchange()

        assert edge.replica.standing().partial is None

    # Identity.

    # Snapshots.

    def test_a_snapshot_is_swapped_in_at_once_and_what_waits_stays_on_top(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.hub.write(LIMITS, {"b": 1})
        edge.exchange()
        merged = edge.replica.commit(ROUTER, {"a": 1, "mine": 1}, now_ms=NOW_MS)
        edge.push()
        edge.hub.write(LIMITS, {"b": 2})
        waiting = edge.replica.commit(ROUTER, {"a": 1, "mine": 2}, now_ms=NOW_MS)
        assert merged is not None
        assert waiting is not None
        offer = edge.offer()

        edge.fetch(*offer.snapshot.parts)

        assert edge.replica.content(LIMITS) == {"b": 1}
        assert len(offer.snapshot.parts) == 2
        assert edge.replica.apply(offer.closing) == offer.snapshot.digest
        assert edge.replica.content(LIMITS) == {"b": 2}
        assert edge.replica.content(ROUTER) == {"a": 1, "mine": 2}
        standing = edge.replica.standing()
        assert (standing.cursor, standing.staged) == (offer.snapshot.upto, ())
        assert [each.body for each in edge.replica.pending(standing.push_mark)] == [waiting.body]

    def test_parts_survive_a_kill_and_those_of_no_later_offer_go(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.hub.write(LIMITS, {"b": 1})
        edge.fetch(*edge.offer().snapshot.parts)
        edge.hub.write(LIMITS, {"b": 2})
        later = edge.offer().snapshot
        edge.replica = self.again(edge.replica)
        names = {part.name for part in later.parts}
        kept = set(edge.replica.standing().staged) & names

        edge.replica.stage(tuple(names))

        assert len(kept) == 1
        assert set(self.again(edge.replica).standing().staged) == kept

    def test_what_a_snapshot_does_not_hold_is_gone_and_a_schema_in_it_judges(self, edge: Exchange) -> None:
        edge.hub.write(ROUTER, {"a": 1})
        edge.exchange()
        edge.hub.write(ROUTER, None)
        edge.hub.write(LIMITS, {"ids": [1]})
        edge.hub.write(SCHEMA, {"namespaces": ["acme/*"], "schema": {"properties": {"ids": UNION}}})
        offer = edge.offer()
        edge.fetch(*offer.snapshot.parts)

        assert edge.replica.apply(offer.closing) == offer.snapshot.digest

        assert edge.replica.content(ROUTER) is None
        edge.replica.commit(LIMITS, {"ids": [1, 2]}, now_ms=NOW_MS)
        edge.hub.write(LIMITS, {"ids": [1, 3]})
        edge.exchange()
        edge.exchange()
        assert edge.replica.content(LIMITS) == {"ids": [1, 2, 3]}

    def test_under_a_new_incarnation_every_waiting_change_gets_a_new_dot_and_keeps_its_bytes(
        self, edge: Exchange
    ) -> None:
        for number in range(3):
            edge.replica.commit(ROUTER, {"a": number}, now_ms=NOW_MS)
        edge.push()
        edge.acknowledge()
        edge.replica.commit(LIMITS, {"b": 1}, now_ms=NOW_MS)
        before = [each.body for each in edge.replica.pending(0)]

        edge.replica.adopt(7)

        replica = self.again(edge.replica)
        standing = replica.standing()
        assert (standing.incarnation, standing.push_mark, standing.chain) == (7, 0, CHAIN_START)
        assert standing.last_local == 4
        assert standing.partial is None
        assert [str(each.dot) for each in replica.pending(0)] == ["7:1", "7:2", "7:3", "7:4"]
        assert [each.body for each in replica.pending(0)] == before
        assert replica.content(ROUTER) == {"a": 2}
        entry = replica.commit(ROUTER, {"a": 5}, now_ms=NOW_MS)
        assert entry is not None
        assert str(entry.dot) == "7:5"

    def test_what_is_sent_again_under_a_new_incarnation_is_merged_once(self, edge: Exchange) -> None:
        edge.replica.commit(ROUTER, {"a": 1}, now_ms=NOW_MS)
        edge.push()
        edge.replica.commit(ROUTER, {"a": 1, "b": 2}, now_ms=NOW_MS)
        edge.incarnation = edge.hub.open_replica(0).incarnation

        edge.replica.adopt(edge.incarnation)
        edge.exchange()

        assert edge.replica.content(ROUTER) == {"a": 1, "b": 2}
        assert list(edge.replica.pending(0)) == []
        assert edge.hub.ledger == []

    # The hub's log.

    def test_a_replica_that_has_seen_no_log_knows_only_what_it_is_called(self, replica: ReplicaStore) -> None:
        standing = replica.standing()

        assert standing.log == "anabranch/tenant/acme"
        assert standing.witnessed is None

    def test_the_newest_checkpoint_is_durable_and_replaces_the_one_before(
        self, replica: ReplicaStore
    ) -> None:
        log = log_with(9)
        for size in (4, 9):
            known = Witnessed(log.key.verifier, log.signed(size))

            replica.witness(known, hub_seq=size)

            replica = self.again(replica)
            assert replica.standing().witnessed == known

    def test_a_log_that_was_refused_changes_nothing_that_is_believed(self, replica: ReplicaStore) -> None:
        log, stranger = log_with(4), LogKey(seed="a stranger")
        replica.witness(Witnessed(log.key.verifier, log.signed(4)), hub_seq=4)
        before = replica.standing()

        replica.distrust("was rewritten", stranger.signed(log.signed(4).tree).packed)
        replica.distrust("malformed", b"")

        assert self.again(replica).standing() == before

    def test_a_new_incarnation_and_a_reset_leave_the_log_as_it_was_seen(self, replica: ReplicaStore) -> None:
        log = log_with(4)
        known = Witnessed(log.key.verifier, log.signed(4))
        replica.witness(known, hub_seq=4)

        replica.adopt(7)
        replica.reset()

        assert self.again(replica).standing().witnessed == known
