"""What one direction of a stream has carried of late: the next small body is compressed with it.

One edit looks like the one before: the same author, field and form, often the same document
(docs/decisions/0027 has what that saves). Both ends learn the same bodies in the same order, because frames
of a stream are numbered and none is skipped; a new stream begins with nothing. So only what is never resumed
in another stream may be sealed here: batches of a single piece.
"""

from anabranch_sync.packing import seal, seal_behind, unseal

# A few edits need 1 KiB of it; some hundred changes, and those that follow of the same documents, more: with
# 16 ten edges that come back at once carry 5 % less than with 8, with 32 hardly less. A hub holds two of
# these for each stream that carries so much.
CONTEXT_BYTES_MAX = 16 * 1024


class Context:
    """One direction, at one of its ends."""

    def __init__(self) -> None:
        self._tail = b""

    def seal(self, body: bytes) -> bytes:
        """A short form of a body, which is to be sent next."""
        sealed = seal_behind(body, self._tail) if self._tail else seal(body)
        self._learn(body)
        return sealed

    def unseal(self, sealed: bytes) -> bytes:
        """The body that the other end has sealed. Raises CorruptFrame, FrameTooLarge."""
        body = unseal(sealed, prefix=self._tail)
        self._learn(body)
        return body

    def _learn(self, body: bytes) -> None:
        self._tail = (self._tail + body[-CONTEXT_BYTES_MAX:])[-CONTEXT_BYTES_MAX:]
