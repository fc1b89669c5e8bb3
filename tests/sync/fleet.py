"""A hub and its replicas as the core's own functions make them, driven by a list of steps.

No session and no network: only what is decided, pulled and folded. Each step is checked against the
oracle, so a list of steps that fails can be made shorter step by step (`shortest`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from anabranch_sync.change import Change, Entry, Op, entry
from anabranch_sync.clock import clamped, tick
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import (
    EMPTY,
    Document,
    Object,
    PolicyAt,
    at,
    build,
    digest,
    flatten,
    rebuild,
    written,
)
from anabranch_sync.ids import HUB_INCARNATION, Cursor, DocumentId, Dot
from anabranch_sync.merge import decide, overlay
from anabranch_sync.path import Path
from anabranch_sync.policy import Policies
from anabranch_sync.pull import Decided, Outcome, Pull, Result, Run, difference, fold, touched_in_order
from anabranch_sync.pull_body import decode_pull, encode_pull
from anabranch_sync.push_body import decode_entries, encode_entries
from anabranch_sync.register import DELETED, Slot, Stamp
from anabranch_sync.value import Json, canonical

from tests.sync.oracle import Oracle, hidden
from tests.sync.steps import (
    DOCUMENTS,
    POLICIES,
    Edit,
    Fetch,
    Jump,
    Learn,
    Push,
    Step,
    Typing,
    Write,
    edited,
    typed,
)

EPOCH = 1
NOWHERE = Cursor(EPOCH, 0)
NOW_MS = 1_750_000_000_000


@dataclass(slots=True)
class Hub:
    """What a tenant's store holds."""

    documents: dict[DocumentId, Document] = field(default_factory=dict)
    hub_seq: int = 0
    timestamp: int = 0
    local_seq: int = 0
    marks: dict[int, int] = field(default_factory=dict)
    decided: dict[int, list[Decided]] = field(default_factory=dict)
    order: list[Dot] = field(default_factory=list)
    policies: Policies = POLICIES[0]


@dataclass(slots=True)
class Replica:
    """What an edge's store holds."""

    incarnation: int
    confirmed: dict[DocumentId, Document] = field(default_factory=dict)
    cursor: Cursor = NOWHERE
    outbox: list[Entry] = field(default_factory=list)
    # Everything written here: changes stay known until a pull has said what became of them.
    written: list[Entry] = field(default_factory=list)
    timestamp: int = 0
    offset_ms: int = 0
    seen: set[Dot] = field(default_factory=set)
    policies: Policies = POLICIES[0]

    def visible(self, document: DocumentId) -> Document:
        """The document as a reader sees it."""
        return overlay(document, self.confirmed.get(document, EMPTY), self.outbox, self.policies)


class Fleet:
    """A hub, its replicas and the oracle that watches them."""

    def __init__(self, replicas: int, *, over_the_wire: bool = False) -> None:
        self.hub = Hub()
        self.replicas = [Replica(incarnation) for incarnation in range(1, replicas + 1)]
        self.oracle = Oracle()
        self.over_the_wire = over_the_wire
        self.now_ms = NOW_MS
        self.conflicts = 0
        self.typed = 0

    def run(self, steps: Iterable[Step]) -> None:
        """Take the steps, then let everyone finish, and check everything."""
        for step in steps:
            self.now_ms += 7
            self.take(step)
        for replica in self.replicas:
            self._push(replica, Push(replica.incarnation, len(replica.outbox)))
        for replica in self.replicas:
            self._fetch(replica)
            assert not replica.outbox, "an outbox does not empty"
        self.oracle.check_rest(self.hub.documents)

    def take(self, step: Step) -> None:
        """Take one step. Steps of replicas that do not exist are skipped."""
        if step.replica > len(self.replicas):
            return
        replica = self.replicas[step.replica - 1] if step.replica else None
        match step:
            case Write():
                if replica is None:
                    self._write_at_hub(step)
                else:
                    self._write(replica, step)
            case Push() if replica is not None:
                self._push(replica, step)
            case Fetch() if replica is not None:
                self._fetch(replica)
            case Jump() if replica is not None:
                replica.offset_ms = step.offset_ms
            case Learn():
                (replica or self.hub).policies = POLICIES[step.version]
            case _:
                pass

    def _write(self, replica: Replica, step: Write) -> None:
        visible = {document: replica.visible(document) for document in DOCUMENTS}
        change, wanted = self._changed(visible, step.edits, replica.policies, replica.cursor)
        if not change.ops:
            return
        replica.timestamp = tick(replica.timestamp, self.now_ms + replica.offset_ms)
        dot = Dot(replica.incarnation, len(replica.written) + 1)
        recorded = entry(dot, replace(change, timestamp=replica.timestamp))
        replica.written.append(recorded)
        replica.outbox.append(recorded)
        self.oracle.seen[dot] = frozenset(replica.seen)
        self.oracle.note_edits(dot, change, visible, wanted)
        replica.seen.add(dot)
        for document, content in wanted.items():
            shown = rebuild(replica.visible(document).registers)
            assert alike(shown, content), f"wrote {content} and read {shown}"

    def _write_at_hub(self, step: Write) -> None:
        hub = self.hub
        visible = {document: hub.documents.get(document, EMPTY) for document in DOCUMENTS}
        change, wanted = self._changed(visible, step.edits, hub.policies, Cursor(EPOCH, hub.hub_seq))
        if not change.ops:
            return
        hub.timestamp = tick(hub.timestamp, self.now_ms)
        hub.local_seq += 1
        dot = Dot(HUB_INCARNATION, hub.local_seq)
        self.oracle.seen[dot] = frozenset(hub.order)
        self.oracle.note_edits(dot, change, visible, wanted)
        self._decide(Entry(dot, replace(change, timestamp=hub.timestamp), b""), hub.timestamp)
        for document, content in wanted.items():
            shown = rebuild(hub.documents[document].registers)
            assert alike(shown, content), f"the hub wrote {content} and holds {shown}"

    def _changed(
        self, visible: dict[DocumentId, Document], edits: Iterable[Edit], policies: Policies, base: Cursor
    ) -> tuple[Change, dict[DocumentId, Object | None]]:
        """The change that makes these edits to what is visible, and the contents wanted."""
        contents = {document: rebuild(state.registers) for document, state in visible.items()}
        for each in edits:
            edit = each
            if isinstance(each.value, Typing):
                standing = _at(contents[each.document], each.path)
                new, self.typed = typed(standing, each.value, each.path, self.typed)
                edit = Edit(each.document, each.path, new)
            contents[edit.document] = edited(contents[edit.document], edit)
        ops: list[Op] = []
        wanted: dict[DocumentId, Object | None] = {}
        for document, content in contents.items():
            policy_at = partial(policies.of, document)
            leaves = written(visible[document].registers, content, policy_at)
            ops += [Op(document, slot, value) for slot, value in leaves]
            if leaves:
                wanted[document] = as_stored(content, policy_at)
        return Change(0, base, "", "", tuple(ops)), wanted

    def _push(self, replica: Replica, step: Push) -> None:
        mark = self.hub.marks.get(replica.incarnation, 0)
        first = 0 if step.again else mark
        offered = replica.written[first : mark + step.count]
        if not offered:
            return
        if self.over_the_wire:
            again = decode_entries(encode_entries(offered))
            assert [each.body for each in again] == [each.body for each in offered]
            offered = again
        predicted = self._predicted(replica, step, offered)
        for each in offered:
            if each.dot.local_seq <= self.hub.marks.get(replica.incarnation, 0):
                continue  # delivered again
            self.hub.marks[replica.incarnation] = each.dot.local_seq
            if step.refused:
                self._refuse(each)
                continue
            timestamp = clamped(each.change.timestamp, self.now_ms)
            self._decide(each, timestamp)
        for document, content in predicted.items():
            decided = rebuild(self.hub.documents.get(document, EMPTY).registers)
            assert alike(decided, content), f"the edge foresaw {content}, the hub decided {decided}"

    def _predicted(
        self, replica: Replica, step: Push, offered: Sequence[Entry]
    ) -> dict[DocumentId, Object | None]:
        """What the hub must answer to a replica that had seen everything and pushes everything."""
        foreseen = (
            replica.cursor.hub_seq == self.hub.hub_seq
            and offered[-1] is replica.written[-1]
            and replica.policies is self.hub.policies
            and not step.refused
            and all(
                clamped(each.change.timestamp, self.now_ms) == each.change.timestamp
                for each in replica.outbox
            )
        )
        touched = touched_in_order(each.change for each in replica.outbox) if foreseen else ()
        return {document: rebuild(replica.visible(document).registers) for document in touched}

    def _fetch(self, replica: Replica) -> None:
        hub, actor, after = self.hub, replica.incarnation, replica.cursor.hub_seq
        own = [each for each in hub.decided.get(actor, []) if each.hub_seq > after]
        touched = {document for each in own for document in each.change.documents}
        changed = {
            document: state
            for document, state in hub.documents.items()
            if state.hub_seq > after or document in touched
        }
        merged = [each.change for each in own if each.outcome is Outcome.MERGED]
        pull = Pull(
            replica.cursor,
            Cursor(EPOCH, hub.hub_seq),
            _digest(hub.documents),
            difference(changed, after, actor, own),
            _runs(own),
            tuple(
                Result(each.local_seq, each.outcome, "") for each in own if each.outcome is not Outcome.MERGED
            ),
            versions=tuple(
                hub.documents.get(document, EMPTY).version for document in touched_in_order(merged)
            ),
        )
        if self.over_the_wire:
            pull = decode_pull(encode_pull(pull))
        named = replica.written[own[0].local_seq - 1 : own[-1].local_seq] if own else []
        replica.confirmed.update(fold(replica.confirmed, actor, named, pull))
        replica.cursor = pull.upto
        replica.outbox = replica.outbox[len(named) :]
        replica.seen |= set(hub.order)
        self._check_equal(replica, pull)

    def _check_equal(self, replica: Replica, pull: Pull) -> None:
        assert _digest(replica.confirmed) == pull.digest, "digests differ after a pull"
        for document, state in self.hub.documents.items():
            mine = replica.confirmed.get(document, EMPTY)
            assert mine.version == state.version, f"{document} has version {mine.version}, {state.version}"
            assert _live(mine) == _live(state), f"{document}: live registers differ"
            if not replica.outbox:
                shown = rebuild(replica.visible(document).registers)
                assert alike(shown, rebuild(state.registers)), "visible is not what is confirmed"

    def _decide(self, each: Entry, timestamp: int) -> None:
        hub = self.hub
        hub.hub_seq += 1
        before = dict(hub.documents)
        decision = decide(before, each.change, each.dot.incarnation, hub.hub_seq, timestamp, hub.policies)
        hub.documents.update(decision.documents)
        self._record(each, Outcome.MERGED)
        self.conflicts += len(decision.conflicts)
        for state in decision.documents.values():
            assert not hidden(state), f"both are live, one hides the other: {hidden(state)}"
        self.oracle.decided(
            each.dot, each.change, hub.hub_seq, before, hub.documents, decision.conflicts, hub.policies
        )

    def _refuse(self, each: Entry) -> None:
        self.hub.hub_seq += 1
        self._record(each, Outcome.REFUSED)

    def _record(self, each: Entry, outcome: Outcome) -> None:
        hub = self.hub
        hub.order.append(each.dot)
        hub.decided.setdefault(each.dot.incarnation, []).append(
            Decided(hub.hub_seq, each.dot.local_seq, each.change, outcome)
        )


def alike(one: Json, other: Json) -> bool:
    """Whether two contents are the same to the byte."""
    return canonical(one) == canonical(other)


def _at(content: Object | None, path: Path) -> Json:
    try:
        return None if content is None else at(content, path)
    except KeyError:
        return None


def as_stored(content: Object | None, policy_at: PolicyAt) -> Object | None:
    """`content` with its sets in their order and without repeats."""
    if content is None:
        return None
    leaves = flatten(content, policy_at)
    return build((slot, value) for slot, value in leaves.items() if value is not DELETED)


def _live(document: Document) -> dict[Slot, tuple[str, tuple[Stamp, ...]]]:
    return {
        slot: (repr(register.value), register.stamps)
        for slot, register in document.registers.items()
        if register.live
    }


def _digest(documents: Mapping[DocumentId, Document]) -> ScopeDigest:
    total = ScopeDigest()
    for document, state in documents.items():
        total = total.replaced(0, digest(document, rebuild(state.registers)))
    return total


def _runs(own: Iterable[Decided]) -> tuple[Run, ...]:
    runs: list[Run] = []
    for each in own:
        last = runs[-1] if runs else None
        if last and last.first_hub_seq + last.count == each.hub_seq:
            runs[-1] = replace(last, count=last.count + 1)
        else:
            runs.append(Run(each.local_seq, each.hub_seq, 1))
    return tuple(runs)
