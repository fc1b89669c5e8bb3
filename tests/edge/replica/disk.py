"""A modelled disk: what was done to its files, and what a power cut may leave of it.

SQLite's files are real ones in memory, which show what every process sees; beside them this keeps the order
of the writes, truncations, syncs and removals. A cut after any of them leaves what was synced, and of what
was not: nothing, or some sectors of some writes, whichever the model says. Names count as well: a file that
was made or removed is so for good once its directory was synced.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

# What a drive writes as a whole, or not.
SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Wrote:
    name: str
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    name: str


@dataclass(frozen=True, slots=True)
class Removed:
    name: str
    is_durable: bool


DiskStep: TypeAlias = Wrote | Truncated | Synced | Removed


class Loss(StrEnum):
    """What becomes of what was not synced when the power goes."""

    LOST = "lost"  # none of it is there
    TORN = "torn"  # some sectors of some writes are, one of them half
    UNORDERED = "unordered"  # some writes are, whole, whatever came before them; removals may come undone
    LYING = "lying"  # the drive said synced and was not: half of all since long is as with UNORDERED


# What a drive that keeps its promises may do.
HONEST = (Loss.LOST, Loss.TORN, Loss.UNORDERED)


@dataclass(slots=True)
class _File:
    safe: bytearray = field(default_factory=bytearray)
    waiting: list[Wrote | Truncated] = field(default_factory=list)
    is_named: bool = False  # its name is durable
    is_removed: bool = False


class Disk:
    """The durable state after the first `done` of `steps`."""

    def __init__(self, steps: Sequence[DiskStep], files: dict[str, bytes] | None = None) -> None:
        self._steps = steps
        self.done = 0
        self._files = {
            name: _File(bytearray(content), is_named=True) for name, content in (files or {}).items()
        }
        # Removed without a sync of the directory: each may be there again after the cut.
        self._ghosts: dict[str, _File] = {}

    def advance(self) -> None:
        """One step more."""
        step = self._steps[self.done]
        self.done += 1
        match step:
            case Wrote() | Truncated():
                self._files.setdefault(step.name, _File()).waiting.append(step)
            case Synced(name):
                file = self._files.setdefault(name, _File())
                for each in file.waiting:
                    _apply(file.safe, each)
                file.waiting.clear()
                if not file.is_named:  # SQLite syncs the directory with the first sync of a new file
                    file.is_named = True
                    self._ghosts.clear()
            case Removed(name, is_durable):
                gone = self._files.pop(name, None)
                if is_durable:
                    self._ghosts.clear()
                elif gone is not None and gone.is_named:
                    self._ghosts[name] = gone

    def image(self, loss: Loss, chance: random.Random) -> dict[str, bytes]:
        """The files after a cut here."""
        image = {}
        for name, file in self._ghosts.items():
            if loss is Loss.UNORDERED and chance.random() < 0.5:
                image[name] = _left(file, loss, chance)
        for name, file in self._files.items():
            if file.is_named or (loss is not Loss.LOST and chance.random() < 0.5):
                image[name] = _left(file, loss, chance)
            elif name in self._ghosts and name not in image:
                image[name] = _left(self._ghosts[name], loss, chance)
        return image


def lying_image(
    steps: Sequence[DiskStep], files: dict[str, bytes], done: int, since: int, chance: random.Random
) -> dict[str, bytes]:
    """The files after a cut at `done` on a drive that has kept no promise since step `since`."""
    silent = [step for step in steps[since:done] if not isinstance(step, Synced)]
    disk = Disk([*steps[:since], *silent], files)
    while disk.done < since + len(silent):
        disk.advance()
    return disk.image(Loss.UNORDERED, chance)


def put(image: dict[str, bytes], folder: Path) -> None:
    """Lay the files of an image into `folder`, over those of the image before it."""
    for old in folder.iterdir():
        old.unlink()
    for name, content in image.items():
        (folder / name).write_bytes(content)


def _left(file: _File, loss: Loss, chance: random.Random) -> bytes:
    content = bytearray(file.safe)
    if loss is Loss.LOST or not file.waiting:
        return bytes(content)
    share = chance.choice((0.1, 0.5, 0.9, 1.0))
    for step in file.waiting:
        if isinstance(step, Truncated) or loss is not Loss.TORN:
            if chance.random() < share:
                _apply(content, step)
            continue
        for at in range(0, len(step.content), SECTOR_BYTES):
            if chance.random() < share:
                sector = step.content[at : at + SECTOR_BYTES]
                _apply(content, Wrote(step.name, step.offset + at, sector))
    if loss is Loss.TORN and isinstance(file.waiting[-1], Wrote):
        last = file.waiting[-1]
        _apply(
            content, Wrote(last.name, last.offset, last.content[: chance.randrange(len(last.content) + 1)])
        )
    return bytes(content)


def _apply(content: bytearray, step: Wrote | Truncated) -> None:
    match step:
        case Truncated(_, size):
            del content[size:]
        case Wrote(_, offset, written):
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(written)] = written
