"""A pull: everything a replica lacks between two cursors, as the hub sends it and an edge applies it.

A pull is a difference of states, not a replay of history: each register that changed after the
replica's cursor travels once, in its last state, however often it was overwritten. A replica's own
changes are not sent back: the pull says at which positions they were decided (`Run`), and the edge
takes their values from its outbox. Only where the outcome differs from what the edge wrote (it
lost, its clock was clamped, something was cleared with it) does the register travel. Increments make
no register by themselves: the part they went into travels back, once for all of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from anabranch_sync.change import Change, Entry
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import Cursor, DocumentId, HubSeq, Incarnation, LocalSeq
from anabranch_sync.leaf import has_ended, without_ended
from anabranch_sync.policy import SCHEMA_NAMESPACE
from anabranch_sync.register import DELETED, Increment, Register, RegisterValue, Slot, Stamp
from anabranch_sync.revision import Contents, worth_comparing

if TYPE_CHECKING:
    from anabranch_sync.case import Case
    from anabranch_sync.live import Quarantined
    from anabranch_sync.packing import Packed


class Outcome(StrEnum):
    """What became of a change."""

    MERGED = "merged"
    # The same change, byte for byte, was decided before under another dot.
    DUPLICATE = "duplicate"
    # Outside the writer's scope, over a limit, or against a rule: recorded, with its reason, not applied.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Run:
    """Own changes `first_local ... + count - 1`, decided at `first_hub_seq ... + count - 1`.

    The first stands for so many before it that were `absorbed`.
    """

    first_local: LocalSeq
    first_hub_seq: HubSeq
    count: int
    absorbed: int = 0

    @property
    def first(self) -> LocalSeq:
        """The number of the first change that it tells of."""
        return self.first_local - self.absorbed

    def position(self, local_seq: LocalSeq) -> HubSeq:
        """Where one of its changes was decided; one that was absorbed, where what stands for it was."""
        return self.first_hub_seq + max(0, local_seq - self.first_local)


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of an own change, where it is not simply merged."""

    local_seq: LocalSeq
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A ledger row that concerns the replica: one of the candidates is its own.

    `ledger` is the row's number. It comes when the row was decided at `hub_seq`, and again when an
    operator reviewed it: with the change that restored a candidate; where the row waited, also after
    an acceptance, which has no position, with the next pull that there is.
    """

    ledger: int
    hub_seq: HubSeq
    won: bool
    case: Case


@dataclass(frozen=True, slots=True)
class Pull:
    """What a replica at `after` lacks to be at `upto`. `whole`: it starts from nothing.

    `documents` hold only the registers that changed. `versions` are those of the documents that the
    replica's own merged changes touch, in order of first mention (the edge knows their names).
    `digest` is that of the scope at `upto`, and `mark` the mark of it, where that is all that came.
    `quarantined` are those of the documents that the pull touches, by themselves or by own changes, whose
    head is invalid; all others it touches are not.
    `replaced` are documents that travel whole, whatever the replica holds of them: absent from
    `documents`, the hub has none.
    `parts` names those of a snapshot, which a whole pull has in place of documents.
    `before` are documents as the replica has them; they only shorten what is sent.
    `packed` are its bytes, where they were made already: for one of many replicas that get the same.
    """

    after: Cursor
    upto: Cursor
    digest: ScopeDigest
    documents: Mapping[DocumentId, Document]
    runs: tuple[Run, ...] = ()
    results: tuple[Result, ...] = ()
    notices: tuple[Notice, ...] = ()
    versions: tuple[int, ...] = ()
    whole: bool = False
    quarantined: Mapping[DocumentId, Quarantined] = field(default_factory=dict)
    replaced: frozenset[DocumentId] = frozenset()
    parts: tuple[bytes, ...] = ()
    mark: bytes = b""
    before: Contents = field(default_factory=dict, compare=False)
    packed: Packed | None = field(default=None, compare=False)

    def proves(self, digest: ScopeDigest) -> bool:
        """Whether this digest of a replica that has applied it is what the hub has."""
        return digest.mark == self.mark if self.mark else digest == self.digest


@dataclass(frozen=True, slots=True)
class Decided:
    """A change of the pulling replica that the hub decided at `hub_seq`."""

    hub_seq: HubSeq
    local_seq: LocalSeq
    change: Change
    outcome: Outcome
    absorbed: int = 0


def decided_at(runs: Iterable[Run]) -> dict[LocalSeq, HubSeq]:
    """Where the hub decided own changes, those that were absorbed included."""
    return {
        number: run.position(number)
        for run in runs
        for number in range(run.first, run.first_local + run.count)
    }


def outcomes(own: Iterable[Entry], pull: Pull) -> dict[LocalSeq, Result]:
    """Of own changes, those that were not simply merged; what was absorbed fared as what stands for it."""
    found = {result.local_seq: result for result in pull.results}
    fared = {each.dot.local_seq: _sent_as(pull.runs, each.dot.local_seq) for each in own}
    return {number: found[sent] for number, sent in fared.items() if sent in found}


def difference(
    documents: Mapping[DocumentId, Document],
    after: HubSeq,
    actor: Incarnation,
    own: Sequence[Decided],
    replaced: Collection[DocumentId] = (),
) -> dict[DocumentId, Document]:
    """What to send of `documents` to the replica `actor` that stands at `after` and wrote `own`.

    `documents` are those that changed after `after` and those that `own` touched, and those to be
    `replaced`, whole.
    """
    known = _verbatim(own, actor)
    touched: dict[DocumentId, set[Slot]] = {}
    for document, slot, _ in (placed for each in own for placed in _placed(each.change)):
        touched.setdefault(document, set()).add(slot)
    result = {}
    for document, state in documents.items():
        if document in replaced:
            result[document] = state
            continue
        here = touched.get(document) or set()
        registers = {
            slot: register
            for slot, register in state.registers.items()
            if (register.hub_seq > after or slot in here) and known.get((document, slot)) != register
        }
        for slot in here - state.registers.keys():
            lost = known.get((document, slot))
            if lost and not has_ended(state.registers, slot, lost):
                # It lost to what stands above or below it, and so has never stood here itself.
                registers[slot] = Register(DELETED, lost.stamps)
        if registers or document not in touched:
            result[document] = Document(registers, state.version)
    return result


@dataclass(frozen=True, slots=True)
class Urgent:
    """What may overtake a pull: documents whole, or nothing. `is_all`: nothing else that is urgent is new."""

    pull: Pull | None = None
    is_all: bool = True


def urgent(
    changed: Mapping[DocumentId, Document],
    quarantined: Collection[DocumentId],
    actor: Incarnation,
    after: Cursor,
    upto: Cursor,
) -> Urgent:
    """What overtakes a pull to the replica `actor`, as it is at `upto`.

    `changed` are the urgent ones in its scope, and those to which an urgent change was made after `after`.
    What it wrote itself it sees already. Of those in quarantine some valid content may be new, which
    a pull tells.
    """
    news = {
        document: state
        for document, state in changed.items()
        if document.namespace != SCHEMA_NAMESPACE
        and any(each.unseen(after.hub_seq, actor) for each in state.registers.values())
    }
    documents = {document: state for document, state in news.items() if document not in quarantined}
    pull = Pull(after, upto, ScopeDigest(), documents) if documents else None
    return Urgent(pull, is_all=len(documents) == len(news))


def changed_by_pull(pull: Pull) -> tuple[DocumentId, ...]:
    """The documents of which it is worth to say the pull by what they were at its beginning."""
    if pull.whole:
        return ()
    kept = ((document, state) for document, state in pull.documents.items() if document not in pull.replaced)
    return worth_comparing(
        [(document, slot, each.value) for document, state in kept for slot, each in state.registers.items()]
    )


def touched_in_order(changes: Iterable[Change]) -> tuple[DocumentId, ...]:
    """The documents of these changes in order of first mention: the order of `Pull.versions`."""
    return tuple(dict.fromkeys(document for change in changes for document in change.documents))


def fold(
    confirmed: Mapping[DocumentId, Document], actor: Incarnation, own: Sequence[Entry], pull: Pull
) -> dict[DocumentId, Document]:
    """The confirmed documents after `pull`: those that change, whole. `confirmed` is not modified.

    EMPTY is one that the hub does not have. `own` are the replica's changes that `pull.runs` names, in
    order; `confirmed` holds at least the documents that they or the pull touch.
    """
    not_merged = outcomes(own, pull)
    drafts: dict[DocumentId, dict[Slot, Register]] = {}
    versions: dict[DocumentId, int] = {}

    def draft(document: DocumentId) -> dict[Slot, Register]:
        if document not in drafts:
            anew = pull.whole or document in pull.replaced
            state = EMPTY if anew else confirmed.get(document, EMPTY)
            drafts[document] = dict(state.registers)
            versions[document] = state.version
        return drafts[document]

    for document in pull.replaced:
        draft(document)
    # A whole pull says everything itself, and own values that never stood are not in it.
    merged = [] if pull.whole else [each for each in own if each.dot.local_seq not in not_merged]
    for each in merged:
        stamp = Stamp(each.change.timestamp, actor, _position(pull.runs, each.dot.local_seq))
        for document, slot, value in _placed(each.change):
            if document not in pull.replaced:
                draft(document)[slot] = Register(value, (stamp,))
    counted = zip(touched_in_order(each.change for each in merged), pull.versions, strict=False)
    versions.update((document, version) for document, version in counted if document not in pull.replaced)
    for document, state in pull.documents.items():
        registers = draft(document)
        for slot, register in state.registers.items():
            if register.live or not slot.is_of_member:
                registers[slot] = register
            else:  # an own edit that has found no place; a member leaves nothing behind
                registers.pop(slot, None)
        versions[document] = state.version
    return {
        document: Document(without_ended(registers), versions[document])
        for document, registers in drafts.items()
    }


def touched(own: Iterable[Entry], pull: Pull) -> dict[DocumentId, None]:
    """The documents of which `pull` says whether they are quarantined.

    `own` are the replica's changes that it names, whatever became of them.
    """
    mentioned = (document for each in own for document in each.change.documents)
    return dict.fromkeys([*pull.documents, *sorted(pull.replaced), *pull.quarantined, *mentioned])


def quarantined_after(
    known: Mapping[DocumentId, Quarantined], own: Iterable[Entry], pull: Pull
) -> dict[DocumentId, Quarantined]:
    """The quarantined documents after `pull`; `known` is not modified."""
    if pull.whole:
        return dict(pull.quarantined)
    released = touched(own, pull)
    return {
        **{document: each for document, each in known.items() if document not in released},
        **pull.quarantined,
    }


def _position(runs: Sequence[Run], local_seq: LocalSeq) -> HubSeq:
    """Where the hub decided an own change; `runs` are in order of `first_local`."""
    run = _run(runs, local_seq)
    assert run is not None, "a change that no run names"
    return run.position(local_seq)


def _sent_as(runs: Sequence[Run], local_seq: LocalSeq) -> LocalSeq:
    """The number of the change that stands for an own one, which may be itself."""
    run = _run(runs, local_seq)
    return local_seq if run is None else max(local_seq, run.first_local)


def _run(runs: Sequence[Run], local_seq: LocalSeq) -> Run | None:
    place = bisect_right(runs, local_seq, key=lambda run: run.first) - 1
    run = runs[place] if place >= 0 else None
    return run if run is not None and local_seq < run.first_local + run.count else None


def _verbatim(own: Sequence[Decided], actor: Incarnation) -> dict[tuple[DocumentId, Slot], Register]:
    """The registers that `fold` puts there by itself."""
    known: dict[tuple[DocumentId, Slot], Register] = {}
    for each in own:
        if each.outcome is Outcome.MERGED:
            stamp = Stamp(each.change.timestamp, actor, each.hub_seq)
            for document, slot, value in _placed(each.change):
                known[document, slot] = Register(value, (stamp,))
    return known


def _placed(change: Change) -> Iterator[tuple[DocumentId, Slot, RegisterValue]]:
    """The registers that a change makes by itself, had nobody else written."""
    for op in change.ops:
        if not isinstance(op.value, Increment):
            yield op.document, op.slot, op.value
