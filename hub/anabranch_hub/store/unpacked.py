"""Documents that one process has unpacked or packed lately, by the very bytes that are stored.

What is decided is often about the same documents as before, and unpacking took a quarter of the time. Equal
bytes are equal documents, whosever they are: nothing here can be stale or another tenant's.
"""

from collections import OrderedDict

from anabranch_sync.document import Document

# As they are stored: some 2,000 documents of an LLM platform. Unpacked they take eight times as much, 35 MB.
UNPACKED_BYTES_MAX = 4 * 1024 * 1024


class Unpacked:
    """The documents that a process remembers, those that were used last. For one thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Document] = OrderedDict()
        self._bytes = 0

    def get(self, state: bytes) -> Document | None:
        """The document of these bytes, where it is remembered."""
        known = self._known.get(state)
        if known is not None:
            self._known.move_to_end(state)
        return known

    def remember(self, state: bytes, document: Document) -> None:
        """These bytes are this document's. What was not used for longest is forgotten for it."""
        if self._known.pop(state, None) is None:
            self._bytes += len(state)
        self._known[state] = document
        while self._bytes > UNPACKED_BYTES_MAX:
            oldest, _ = self._known.popitem(last=False)
            self._bytes -= len(oldest)
