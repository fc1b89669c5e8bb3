"""What happens to courier files between an edge and its hub."""

import time
from dataclasses import dataclass
from pathlib import Path

from anabranch.courier import Imported, export_to_files, import_files
from anabranch_hub.courier.answering import answer, signed
from anabranch_hub.courier.taking import Taken, take, verified
from anabranch_hub.secrets.authority import ServerCredentials
from anabranch_sync.parcel import PARCEL_BYTES_MIN
from cryptography import x509

from tests.hub.api.fleet import Fleet


@dataclass
class Stick:
    """Files of the edges of `fleet`, written one after the other and never overwritten."""

    fleet: Fleet
    courier: ServerCredentials
    written: int = 0

    def from_edge(self, replica: Path, bytes_max: int = PARCEL_BYTES_MIN) -> list[Path]:
        """The edge exports."""
        return list(export_to_files(replica, self._next(), bytes_max).files)

    async def to_hub(self, file: Path) -> Taken:
        """The hub imports."""
        store, root = self.fleet.hub.store, await self.fleet.hub.authority.root_pem()
        now_ms = time.time_ns() // 1_000_000
        letter = await verified(store, file.read_bytes(), x509.load_pem_x509_certificate(root), now_ms)
        return await take(store, letter, now_ms)

    async def from_hub(self, edge: str, bytes_max: int = PARCEL_BYTES_MIN) -> list[Path]:
        """The hub exports."""
        now_ms = time.time_ns() // 1_000_000
        letters = await answer(self.fleet.hub.store, self.fleet.tenant, edge, now_ms, bytes_max)
        files = []
        for letter in letters:
            files.append(self._next())
            files[-1].write_bytes(signed(letter, self.courier.key_pem + self.courier.chain_pem))
        return files

    def to_edge(self, replica: Path, *files: Path) -> list[Imported]:
        """The edge imports."""
        return list(import_files(replica, files))

    async def round_trip(self, replica: Path) -> None:
        """One whole exchange, with nothing lost."""
        for file in self.from_edge(replica):
            await self.to_hub(file)
        self.to_edge(replica, *await self.from_hub(replica.stem))

    def _next(self) -> Path:
        self.written += 1
        return self.fleet.folder / f"stick-{self.written:04}"
