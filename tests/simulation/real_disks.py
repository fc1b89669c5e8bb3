"""The second tier: the lives of seeds with a real SQLite replica beside each modelled one.

Whatever a life does to a replica is done to both, failures too: the real one meets them in its file, through
the rig of `tests.edge.replica.rigged_sqlite`, and is opened again. After each they must stand the same and
show the same. So the real codec, schema and transactions go through whole lives, and the model is held to
them. Restored, cloned and rotten disks are left to the first tier.

python -m tests.simulation.real_disks --seeds 100
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from anabranch.errors import ReplicaError
from anabranch.part_cache import PartCache
from anabranch.replica import Replica
from anabranch_hub.simulation.disk import DiskFailure, Medium
from anabranch_hub.simulation.fleet import Fleet
from anabranch_hub.simulation.memory import MemoryReplica, ReplicaState
from anabranch_hub.simulation.promise import Promise, Violation
from anabranch_hub.simulation.relay import KeptParts
from anabranch_hub.simulation.running import lived
from anabranch_hub.simulation.world import SCOPE
from anabranch_hub.simulation.writing import DOCUMENTS
from anabranch_sync.change import Entry
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Object, digest
from anabranch_sync.ids import DocumentId
from anabranch_sync.pull import Pull
from anabranch_sync.reoffer import Reoffer
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import Part
from anabranch_sync.standing import Standing
from anabranch_sync.witness import Witnessed

from tests.edge.replica.rigged_sqlite import MEMORY, Faults, rigged_sqlite
from tests.edge.replica.sqlite_store import SqliteStore

T = TypeVar("T")
_CODES = {
    "disk full": "SQLITE_FULL",
    "write error": "SQLITE_IOERR_WRITE",
    "fsync error": "SQLITE_IOERR_FSYNC",
}


class MirroredReplica(MemoryReplica):
    """A modelled replica and a real one that must stay the same."""

    def __init__(self, state: ReplicaState, medium: Medium, path: Path, faults: Faults) -> None:
        super().__init__(state, medium)
        self._path = path
        self._faults = faults
        Replica.create(
            path,
            tenant="acme",
            edge="one",
            prefixes=SCOPE.prefixes,
            incarnation=state.incarnation,
            author="ada",
        ).close()

    def open(self) -> None:
        """Open the real one, on the rigged disk if there is one now: new files are made without."""
        self._real = SqliteStore(Replica.open(self._path))

    def close(self) -> None:
        """Close the real one's file."""
        self._real.replica.close()

    def crash(self) -> None:
        super().crash()
        self._reopen()

    def commit(self, document: DocumentId, content: Object | None, *, now_ms: int) -> Entry | None:
        return self._both(
            lambda: super(MirroredReplica, self).commit(document, content, now_ms=now_ms),
            lambda: self._real.commit(document, content, now_ms=now_ms),
        )

    def acknowledge(self, push_mark: int, chain: bytes) -> None:
        self._both(
            lambda: super(MirroredReplica, self).acknowledge(push_mark, chain),
            lambda: self._real.acknowledge(push_mark, chain),
        )

    def store_part(self, batch: bytes, total: int, offset: int, piece: bytes) -> None:
        self._both(
            lambda: super(MirroredReplica, self).store_part(batch, total, offset, piece),
            lambda: self._real.store_part(batch, total, offset, piece),
        )

    def discard(self) -> None:
        self._both(super().discard, self._real.discard)

    def stage(self, names: Sequence[bytes]) -> None:
        self._both(lambda: super(MirroredReplica, self).stage(names), lambda: self._real.stage(names))

    def keep(self, name: bytes, sealed: bytes) -> None:
        self._both(
            lambda: super(MirroredReplica, self).keep(name, sealed), lambda: self._real.keep(name, sealed)
        )

    def apply(self, pull: Pull, reoffer: Reoffer | None = None, rescoped: Scope | None = None) -> ScopeDigest:
        return self._both(
            lambda: super(MirroredReplica, self).apply(pull, reoffer, rescoped),
            lambda: self._real.apply(pull, reoffer, rescoped),
        )

    def overtake(self, pull: Pull) -> bool:
        return self._both(
            lambda: super(MirroredReplica, self).overtake(pull), lambda: self._real.overtake(pull)
        )

    def exported(self, export: bytes) -> None:
        self._both(
            lambda: super(MirroredReplica, self).exported(export),
            lambda: self._real.replica.parcels.exported(export, 0),
        )

    def ask_renewal(self) -> None:
        self._both(super().ask_renewal, self._real.replica.parcels.ask_renewal)

    def want(self, wanted: Scope) -> None:
        self._both(
            lambda: super(MirroredReplica, self).want(wanted),
            lambda: self._real.replica.subscribing.want(wanted),
        )

    def told(self, asked: Scope) -> None:
        self._both(
            lambda: super(MirroredReplica, self).told(asked),
            lambda: self._real.replica.subscribing.told(asked, None, known=True),
        )

    def note_stored(self, stored_mark: int) -> None:
        self._both(
            lambda: super(MirroredReplica, self).note_stored(stored_mark),
            lambda: self._real.note_stored(stored_mark),
        )

    def reset(self) -> None:
        self._both(super().reset, self._real.reset)

    def adopt(self, incarnation: int) -> None:
        self._both(
            lambda: super(MirroredReplica, self).adopt(incarnation), lambda: self._real.adopt(incarnation)
        )

    def witness(self, witnessed: Witnessed, hub_seq: int, *, epoch: int = 0, broken: str = "") -> None:
        self._both(
            lambda: super(MirroredReplica, self).witness(witnessed, hub_seq, epoch=epoch, broken=broken),
            lambda: self._real.witness(witnessed, hub_seq, epoch=epoch, broken=broken),
        )

    def _both(self, model: Callable[[], T], real: Callable[[], object]) -> T:
        try:
            result = model()
        except DiskFailure as failure:
            if failure.reached:
                real()
            elif not failure.power:
                self._fail(real, str(failure))
            self._reopen()
            self._compare()
            raise
        real()
        self._compare()
        return result

    def _fail(self, real: Callable[[], object], how: str) -> None:
        """The same failure in the file: whatever is written or synced, until it is opened again."""
        self._faults.arm(_CODES[how], "sync" if how == "fsync error" else "write", first=1, times=None)
        try:
            real()
        except ReplicaError:
            return
        finally:
            self._faults.heal()
        if self._faults.failed:  # otherwise there was nothing to write
            raise Violation(Promise.KEPT, f"{self._path.name} acknowledged in spite of: {how}")

    def _reopen(self) -> None:
        self._real.replica.close()
        self.open()

    def _compare(self) -> None:
        modelled, real = _compared(self.standing()), _compared(self._real.standing())
        if modelled != real:
            raise Violation(Promise.CONVERGED, f"{self._path.name} is at {real}, its model at {modelled}")
        for document in DOCUMENTS:
            shown, wanted = self._real.content(document), self.read(document)
            if digest(document, shown) != digest(document, wanted):
                what = f"{self._path.name} shows {shown} of {document}, its model {wanted}"
                raise Violation(Promise.CONVERGED, what)


class MirroredParts(KeptParts):
    """What a relay is modelled to keep, and a real cache in `folder` that must give the same bytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._real = PartCache(folder)

    def piece(self, name: bytes, offset: int, bytes_max: int) -> bytes:
        modelled, real = super().piece(name, offset, bytes_max), self._real.piece(name, offset, bytes_max)
        if modelled != real:
            raise Violation(Promise.CONVERGED, f"a relay gives {len(real)} bytes, its model {len(modelled)}")
        return modelled

    def add(self, part: Part, offset: int, piece: bytes) -> None:
        super().add(part, offset, piece)
        self._real.add(part, offset, piece)

    def harm(self, chance: random.Random) -> str:
        harm = super().harm(chance)
        bodies = {each.hex(): body for each, body in self.whole.items()}
        bodies |= {f"{each.hex()}.head": body for each, body in self.heads.items()}
        for path in self._folder.iterdir() if harm else ():
            if path.name in bodies:
                path.write_bytes(bodies[path.name])
            elif path.name != "counts":
                path.unlink()
        return harm


class RealFleet(Fleet):
    """A life whose replicas, and what its relay keeps, are real ones as well, in `folder`."""

    def __init__(self, seed: int, folder: Path, faults: Faults) -> None:
        self._folder = folder
        self._rig = faults
        self.mirrored: list[MirroredReplica] = []
        super().__init__(seed, {"restores": 0, "clones": 0, "rots": 0})
        self.hub.relay.parts = MirroredParts(folder / "relay.parts")

    def new_replica(self, state: ReplicaState) -> MemoryReplica:
        path = self._folder / f"edge{len(self.mirrored)}.db"
        self.mirrored.append(MirroredReplica(state, self.world.new_medium(), path, self._rig))
        return self.mirrored[-1]


def live_really(seed: int) -> str:
    """Live a seed's life in both; what was broken, or "" for nothing."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        faults = Faults()
        fleet = RealFleet(seed, Path(folder), faults)
        with rigged_sqlite(faults=faults):
            for replica in fleet.mirrored:
                replica.open()
            reason = lived(fleet).reason
            for replica in fleet.mirrored:
                replica.close()
        return reason


def main() -> int:
    """Return 1 when a seed breaks a promise."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.real_disks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many (default 100)")
    parser.add_argument("--start", type=int, default=0, help="the first one (default 0)")
    arguments = parser.parse_args()
    began_s = time.monotonic()
    failed = 0
    for seed in range(arguments.start, arguments.start + arguments.seeds):
        reason = live_really(seed)
        failed += bool(reason)
        if reason:
            sys.stderr.write(f"{reason}\n")
    took_s = time.monotonic() - began_s
    sys.stdout.write(f"{arguments.seeds} seeds with real replicas, {failed} failed, {took_s:.0f} s\n")
    return 1 if failed else 0


def _compared(standing: Standing) -> Standing:
    # The model records no schemas with a change: chains over what was recorded are each one's own.
    return replace(standing, oldest_unsent_ms=None, log="", chain=b"")


if __name__ == "__main__":
    sys.exit(main())
