"""What a hub has signed, remembered outside Postgres.

    DIR/audit/            0700
      TENANT              the verifier key on a line, then the newest signed checkpoint
      TENANT.before-TIME  the same as it was before a declared restore from a backup: evidence
      TENANT.restoring    while that is declared: the position up to which the backup is known

Whoever owns Postgres can rewrite every table, the checkpoints and their key among them, or restore a
dump of last week. The hub's data directory belongs to another: what stands there has to be where the
log comes from. Edges hold the hub to the same; this is for hubs without any, and for who verifies here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anabranch_sync.checkpoint import verified_checkpoint
from anabranch_sync.errors import EvidenceError
from anabranch_sync.ids import HubSeq
from anabranch_sync.merkle import TreeHead
from anabranch_sync.signed_note import VerifierKey, parse_verifier_key

from anabranch_hub.errors import AnchorDamaged
from anabranch_hub.servers.private_files import (
    make_private_folder,
    read_text,
    sync_folder,
    write_private,
    writing_below,
)

_FOLDER = "audit"


@dataclass(frozen=True, slots=True)
class Anchor:
    """The key of a tenant's log and the newest checkpoint it signed, verified."""

    key: VerifierKey
    tree: TreeHead
    note: str


class Anchors:
    """Those below one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / _FOLDER

    def path(self, tenant: str) -> Path:
        """The file of one tenant."""
        return self._folder / tenant

    def read(self, tenant: str) -> Anchor | None:
        """What is remembered of the tenant's log; None for nothing yet. Raises AnchorDamaged."""
        path = self.path(tenant)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise AnchorDamaged(path, str(error)) from error
        line, _, note = text.partition("\n")
        try:
            key = parse_verifier_key(line)
            return Anchor(key, verified_checkpoint(note, key).tree, note)
        except EvidenceError as error:
            raise AnchorDamaged(path, str(error)) from error

    @contextmanager
    def setting_aside(self, tenant: str, now_s: int) -> Iterator[None]:
        """Hold the log to this anchor no more, unless the block fails. Raises DataDirNotWritable.

        It is aside before the block begins: a hub that signs meanwhile finds none.
        """
        path, aside = self.path(tenant), self._folder / f"{tenant}.before-{now_s}"
        was_there = path.exists()
        if was_there:
            self._rename(path, aside)
        try:
            yield
        except BaseException:
            if was_there:
                self._rename(aside, path)
            raise

    @contextmanager
    def restoring(self, tenant: str, known: HubSeq) -> Iterator[None]:
        """Remember `known` until the block ends, which it does not where it is killed.

        Raises DataDirNotWritable.
        """
        make_private_folder(self._folder)
        write_private(self._restoring(tenant), str(known))
        try:
            yield
        finally:
            with writing_below(self._folder):
                self._restoring(tenant).unlink(missing_ok=True)
                sync_folder(self._folder)

    def known_before(self, tenant: str) -> HubSeq | None:
        """What `restoring` remembers of a block that was killed. Raises AnchorDamaged."""
        path = self._restoring(tenant)
        try:
            text = read_text(path)
            return None if text is None else int(text)
        except (OSError, ValueError) as error:
            raise AnchorDamaged(path, str(error)) from error

    def _restoring(self, tenant: str) -> Path:
        return self._folder / f"{tenant}.restoring"

    def _rename(self, path: Path, to: Path) -> None:
        with writing_below(self._folder):
            path.rename(to)
            sync_folder(self._folder)

    def write(self, tenant: str, anchor: Anchor) -> None:
        """Remember it, durably. Raises DataDirNotWritable."""
        make_private_folder(self._folder)
        write_private(self.path(tenant), f"{anchor.key}\n{anchor.note}")
