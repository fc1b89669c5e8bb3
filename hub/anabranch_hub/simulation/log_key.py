"""A log's key for simulations and tests: fixed, and the only private key of a log outside Vault."""

import hashlib

from anabranch_sync.checkpoint import Checkpoint, SignedCheckpoint, origin_of, signed
from anabranch_sync.merkle import TreeHead
from anabranch_sync.signed_note import VerifierKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class LogKey:
    """Signs the checkpoints of one tenant's log. The same `seed` gives the same key."""

    def __init__(self, tenant: str = "acme", seed: str = "a log's key") -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
        self.verifier = VerifierKey(origin_of(tenant), self._private.public_key().public_bytes_raw())

    def signature(self, body: bytes) -> bytes:
        return self._private.sign(body)

    def signed(self, tree: TreeHead) -> SignedCheckpoint:
        """The log's checkpoint of `tree`."""
        checkpoint = Checkpoint(self.verifier.name, tree)
        return signed(checkpoint, self.verifier, self.signature(checkpoint.to_sign))
