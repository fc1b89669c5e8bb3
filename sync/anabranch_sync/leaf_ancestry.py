"""What became of the units that a leaf was made of before its edits were folded into a new seed.

A leaf with more than EDITS_MAX edits is written anew by the hub: the text as it stands is the seed, and
the edits end. Whoever edits it meanwhile refers to units that are no longer there. So the hub keeps,
beside the seed, where each of them went: at which unit of the seed it stands, or between which two it
stood before it was deleted. An edit that comes late is *carried over* through it, by the hub when it
decides and by an edge when it shows its outbox, with the same outcome.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from anabranch_sync.errors import CorruptFrame, EditRefused
from anabranch_sync.leaf_decoder import (
    CLIENT_BITS,
    DELETIONS_MAX,
    UNITS_MAX,
    Id,
    Insertion,
    Span,
    Units,
    Update,
    joined,
    length,
)
from anabranch_sync.leaf_edits import Edited, sliced
from anabranch_sync.packing import read_varint, varint
from anabranch_sync.register import Ancestry

# Merge trees stay this small: a leaf is rebuilt from its seed whenever it is read for the first time.
EDITS_MAX = 32
# Edits may replace the whole of a large text each time. As much as the largest document is kept of them.
EDITS_BYTES_MAX = 256 * 1024
# They may delete in thousands of places each, and what pycrdt then takes grows with the square of all. As
# many as one edit may have are kept.
EDITS_DELETIONS_MAX = DELETIONS_MAX
# Some 16 KB, or a dozen folds of heavily edited text. Older clients go first: what still refers to them is
# kept in the ledger.
RUNS_MAX = 4_096
# The pieces into which the edits cut a leaf that is folded. 32 edits that replace 64 words each make 6,200;
# pycrdt walks from the start to each of them, which takes minutes for ten times as many.
PIECES_MAX = 2 * RUNS_MAX


class Run(NamedTuple):
    """Consecutive units of a client, from `clock` on: at `place` of the seed, or deleted before it."""

    client: int
    clock: int
    length: int
    place: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Carried:
    """An edit in terms of what stands now. `met`: others had been at work where it was made."""

    update: Update
    met: bool


class Ancestors:
    """The runs of every client that is known to have been in a leaf, those of the last fold first.

    Those of one client ascend, and may be ten thousands: they are looked up, not looked through.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs: dict[int, list[Run]] = {}
        for run in runs:
            self.runs.setdefault(run.client, []).append(run)

    def at(self, each: Id) -> Run | None:
        """The one unit, as a run."""
        found = self.over(Span(each.client, each.clock, 1))
        return found[0] if found else None

    def over(self, span: Span) -> list[Run] | None:
        """The units of a span; None where some of them never were."""
        found = []
        runs = self.runs.get(span.client, [])
        at = max(bisect_right(runs, span.clock, key=_clock) - 1, 0)
        while at < len(runs) and runs[at].clock < span.clock + span.length:
            run = runs[at]
            start = max(run.clock, span.clock)
            stop = min(run.clock + run.length, span.clock + span.length)
            if start < stop:
                found.append(_part(run, start, stop - start))
            at += 1
        return found if sum(run.length for run in found) == span.length else None


def folded(leaf: Edited, before: object) -> Ancestry:
    """The ancestry of the seed into which `leaf` is folded; `before` is that of the leaf's own seed."""
    own = _runs(leaf)
    if not own:
        return Ancestry(encode_ancestry(()))
    last = Ancestors(own)
    past = decode_ancestry(before.runs) if isinstance(before, Ancestry) else []
    older = [moved for run in past for moved in _moved(run, leaf.client, last)]
    kept: list[Run] = []
    by_client = Ancestors([*own, *older]).runs
    for runs in by_client.values():
        shorter = _together(runs)
        if len(kept) + len(shorter) > RUNS_MAX:
            break
        kept += shorter
    return Ancestry(encode_ancestry(kept))


def carried(update: Update, ancestry: object, leaf: Edited) -> Carried | None:
    """The edit in terms of what stands; None where something it refers to never was, or is forgotten."""
    if not isinstance(ancestry, Ancestry):
        return None
    ancestors, known = Ancestors(decode_ancestry(ancestry.runs)), leaf.known().keys() | {update.client}
    met = False
    insertions: list[Insertion] = []
    # Edits are composed from the end of a text to its start: the one before stands after this one.
    before: tuple[Id, int] | None = None
    for start, each in zip(update.starts, update.insertions, strict=False):
        gap = _gap(each, ancestors, known, leaf)
        if gap is None:
            return None
        left, right = gap.left, gap.right
        if before and gap.stop is not None and gap.stop >= before[1]:
            right = before[0]  # nothing of what was between them is left
        before = None if gap.start is None else (Id(update.client, start), gap.start)
        insertions.append(Insertion(left, right, each.content))
        met |= gap.met
    deletions: list[Span] = []
    for span in update.deletions:
        if span.client in known:
            deletions.append(span)
            continue
        runs = ancestors.over(span)
        if runs is None:
            return None
        deletions += [Span(leaf.client, run.place, run.length) for run in runs if run.alive]
        met |= not all(run.alive for run in runs)
    return Carried(Update(update.client, tuple(insertions), joined(deletions)), met)


def ancestors(ancestry: object) -> Collection[int]:
    """The clients, seeds and edits, that went into a seed."""
    return Ancestors(decode_ancestry(ancestry.runs)).runs if isinstance(ancestry, Ancestry) else ()


def encode_ancestry(runs: Sequence[Run]) -> bytes:
    """Runs as bytes; those of one client follow each other from its clock 0 on."""
    by_client = Ancestors(runs).runs
    body = bytearray(varint(len(by_client)))
    for client, own in by_client.items():
        body += varint(client) + varint(len(own))
        for run in own:
            body += varint(run.length) + varint(run.place << 1 | run.alive)
    return bytes(body)


def decode_ancestry(body: bytes) -> list[Run]:
    """The runs of `encode_ancestry`'s bytes. Raises CorruptFrame."""
    runs: list[Run] = []
    clients, at = read_varint(body, 0)
    for _ in range(clients):
        client, at = read_varint(body, at)
        count, at = read_varint(body, at)
        clock = 0
        for _ in range(count):
            size, at = read_varint(body, at)
            place, at = read_varint(body, at)
            runs.append(Run(client, clock, size, place >> 1, bool(place & 1)))
            clock += size
            if len(runs) > RUNS_MAX or not size or clock > UNITS_MAX or place >> 1 > UNITS_MAX:
                raise CorruptFrame("an ancestry beyond its limits")
        if client >> CLIENT_BITS:
            raise CorruptFrame("an ancestry of a client beyond its limit")
    if at != len(body) or encode_ancestry(runs) != body:
        raise CorruptFrame("ancestry is not in canonical form")
    return runs


@dataclass(frozen=True, slots=True)
class _Gap:
    """Between which units of what stands an insertion comes, and where in the seed, if that is known."""

    left: Id | None
    right: Id | None
    start: int | None
    stop: int | None
    met: bool


def _gap(insertion: Insertion, ancestors: Ancestors, known: Collection[int], leaf: Edited) -> _Gap | None:
    left, right, start, stop = insertion.left, insertion.right, None, None
    met = False
    if left is not None and left.client not in known:
        run = ancestors.at(left)
        if run is None:
            return None
        start = run.place + run.alive
        left = Id(leaf.client, start - 1) if start else None
        met = not run.alive
    if right is not None and right.client not in known:
        run = ancestors.at(right)
        if run is None:
            return None
        stop = run.place
        right = Id(leaf.client, stop) if stop < length(leaf.seed) else None
    met |= start is not None and stop is not None and start != stop
    if left is None and right is None:
        if not leaf.seed:
            return None
        right = Id(leaf.client, 0)
    return _Gap(left, right, start, stop, met)


def _runs(leaf: Edited) -> list[Run]:
    """Where each unit of the leaf stands in what it says, in runs that are whole and all alive or all not.

    Empty where they are too many, or should that not give what the leaf says: then nothing is carried over,
    and nothing misplaced.
    """
    from anabranch_sync.leaf_text import places

    known = leaf.known()
    cuts: dict[int, set[int]] = {client: {0, length(content)} for client, content in known.items()}
    gone: dict[int, list[Span]] = {}
    for _, _, update in leaf.edits:
        for insertion in update.insertions:
            if insertion.left:
                cuts[insertion.left.client].add(insertion.left.clock + 1)
            if insertion.right:
                cuts[insertion.right.client].add(insertion.right.clock)
        cuts[update.client].update(update.starts)
        for span in update.deletions:
            cuts[span.client].update((span.clock, span.clock + span.length))
            gone.setdefault(span.client, []).append(span)
    pieces = [
        (client, start, stop)
        for client, clocks in cuts.items()
        for start, stop in zip(sorted(clocks), sorted(clocks)[1:], strict=False)
    ]
    if len(pieces) > PIECES_MAX:
        return []
    ids = [Id(client, start) for client, start, _ in pieces]
    try:
        found = places(leaf.client, leaf.seed, leaf.updates, ids)
    except EditRefused:
        return []
    deleted = {client: joined(spans) for client, spans in gone.items()}
    runs = [
        Run(client, start, stop - start, place, not _covers(deleted.get(client, ()), start))
        for (client, start, stop), place in zip(pieces, found, strict=True)
    ]
    return runs if _told(runs, known, leaf.units) else []


def _told(runs: Iterable[Run], known: Mapping[int, Units], units: Units) -> bool:
    """Whether the runs that are alive, in the order of their places, are what the leaf says."""
    at = 0
    for run in sorted((run for run in runs if run.alive), key=lambda run: run.place):
        if run.place != at:
            return False
        at += run.length
        if sliced(known[run.client], run.clock, run.length) != sliced(units, run.place, run.length):
            return False
    return at == length(units)


def _covers(spans: Sequence[Span], clock: int) -> bool:
    """Whether one of the spans, as `joined` gives them, has the unit."""
    after = bisect_right(spans, clock, key=_clock)
    return after > 0 and clock < spans[after - 1].clock + spans[after - 1].length


def _clock(units: Run | Span) -> int:
    return units.clock


def _moved(run: Run, seed: int, last: Ancestors) -> list[Run]:
    """A run of the ancestry of a seed, in terms of the next one."""
    if not run.alive:
        before = last.at(Id(seed, run.place - 1)) if run.place else None
        place = 0 if before is None else before.place + before.alive
        return [run._replace(place=place)]
    moved = []
    clock = run.clock
    for piece in last.over(Span(seed, run.place, run.length)) or ():
        moved.append(Run(run.client, clock, piece.length, piece.place, piece.alive))
        clock += piece.length
    return moved


def _together(runs: Sequence[Run]) -> list[Run]:
    """The same runs, of one client, as few as say the same."""
    result: list[Run] = []
    for run in runs:
        last = result[-1] if result else None
        if last and last.alive == run.alive and run.place == last.place + (last.length if last.alive else 0):
            result[-1] = last._replace(length=last.length + run.length)
        else:
            result.append(run)
    return result


def _part(run: Run, clock: int, size: int) -> Run:
    return Run(run.client, clock, size, run.place + (clock - run.clock if run.alive else 0), run.alive)
