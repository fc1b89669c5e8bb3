"""Range repair: two sides that should be equal find which documents differ, in a few hundred bytes.

::

    edge                                            hub
     Range     asks for the range ""             ->
               <-  Range   16 fingerprints, one for each sub-range
     Range     asks for those that differ        ->
               <-  Range   fingerprints again; of a small range, its documents
     Range     names what differs                ->
               <-  Batch   a pull that replaces them (`pull.Pull.replaced`)

Documents are spread over ranges by a hash of their address: a range is a prefix of it, in hexadecimal
digits. The fingerprint of a range is the sum of the digests of its live documents, cut short: what it
overlooks once in 2**40 is found by the whole digest afterwards. The hub only answers, from where it
stands; what has changed there since the edge's cursor looks as if it differed, and comes with the pull
in any case. The edge asks, decides, and gives up where whole documents for all would cost less.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from anabranch_sync.digest import ScopeDigest
from anabranch_sync.errors import CorruptFrame, ProtocolViolation
from anabranch_sync.ids import DocumentId
from anabranch_sync.incident import Incident

# 40 bits each: of 100,000 documents two have the same hash once in 200 times, and then both are named.
HASH_BYTES = 5
FINGERPRINT_BYTES = 5
BRANCHES = 16
# A list of so many documents is about as long as the fingerprints of the next level.
LISTED_MAX = 16
# Two thirds of the digits are never needed: 16**6 ranges of 16 documents are more than any scope has.
PREFIX_DIGITS_MAX = 6
# Beyond these the two have little in common, and a whole pull is the shorter way.
RANGES_ASKED_MAX = 64
DOCUMENTS_NAMED_MAX = 1_000
# Their addresses travel in one frame, which holds some more; they may be ten times as long as most are.
NAMED_BYTES_MAX = 120_000
# A repair that did not help may have met news or damage; after three something else is wrong.
REPAIRS_MAX = 3

ROOT = ""
_FINGERPRINTS = 255

Digests = Mapping[DocumentId, int]


@dataclass(frozen=True, slots=True)
class Survey:
    """An effect of either session: read the digest of each live confirmed document; report `surveyed`."""


@dataclass(frozen=True, slots=True)
class Report:
    """An effect of either session: keep what went wrong with equality."""

    incident: Incident


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What a survey found. `damaged` are documents whose bytes are not those that were written."""

    digests: Digests
    damaged: tuple[DocumentId, ...] = ()


@dataclass(frozen=True, slots=True)
class Differing:
    """What the edge wants whole: documents by address, and by hash those that only the hub may know."""

    documents: tuple[DocumentId, ...] = ()
    hashes: tuple[bytes, ...] = ()

    @property
    def is_nameable(self) -> bool:
        """Whether one Range has room for all of it."""
        size_bytes = sum(len(str(each)) for each in self.documents) + HASH_BYTES * len(self.hashes)
        count = len(self.documents) + len(self.hashes)
        return count <= DOCUMENTS_NAMED_MAX and size_bytes <= NAMED_BYTES_MAX


def address_hash(document: DocumentId) -> bytes:
    """Where the document falls among the ranges."""
    return blake2b(str(document).encode(), digest_size=HASH_BYTES).digest()


class Ranges:
    """The live documents of one side, by the hash of their address."""

    def __init__(self, digests: Digests) -> None:
        self._by_hash: dict[bytes, list[tuple[DocumentId, int]]] = {}
        for document, digest in digests.items():
            self._by_hash.setdefault(address_hash(document), []).append((document, digest))
        self._digits = sorted((each.hex(), each) for each in self._by_hash)

    def within(self, prefix: str) -> dict[bytes, int]:
        """The sums of the digests of the documents of a range, by hash."""
        # "g" comes after every hexadecimal digit.
        first, end = (bisect_left(self._digits, (digits,)) for digits in (prefix, f"{prefix}g"))
        hashes = (each for _, each in self._digits[first:end])
        return {each: sum(digest for _, digest in self._by_hash[each]) for each in hashes}

    def fingerprints(self, prefix: str) -> list[bytes]:
        """One for each sub-range."""
        sums = [0] * BRANCHES
        for each, digest in self.within(prefix).items():
            sums[int(each.hex()[len(prefix)], 16)] += digest
        return [_short(each) for each in sums]

    def named(self, hashes: Collection[bytes]) -> list[DocumentId]:
        """The documents with these hashes."""
        return [document for each in hashes for document, _ in self._by_hash.get(each, ())]

    def answer(self, prefix: str) -> bytes:
        """What this side has in a range: its documents where they are few, fingerprints where not."""
        here = self.within(prefix)
        if len(here) <= LISTED_MAX or len(prefix) == PREFIX_DIGITS_MAX:
            listed = sorted(here.items())[: _FINGERPRINTS - 1]
            return bytes([len(listed)]) + b"".join(each + _short(digest) for each, digest in listed)
        return bytes([_FINGERPRINTS]) + b"".join(self.fingerprints(prefix))


class Repair:
    """The edge's side of one repair: takes the hub's answers, says what to ask next or what differs."""

    def __init__(self, digests: Digests) -> None:
        self._ranges = Ranges(digests)
        self._documents: list[DocumentId] = []
        self._hashes: list[bytes] = []

    def answered(self, asked: Sequence[str], answers: bytes) -> Sequence[str] | Differing | None:
        """The ranges to ask for next, or what differs, or None: too much does. Raises CorruptFrame."""
        check_asked(asked)
        deeper: list[str] = []
        for prefix in asked:
            kind, answers = answers[:1], answers[1:]
            if not kind:
                raise CorruptFrame(f"no answer for range {prefix!r}")
            if kind[0] == _FINGERPRINTS:
                theirs, answers = _cut(answers, BRANCHES, FINGERPRINT_BYTES)
                pairs = zip(self._ranges.fingerprints(prefix), theirs, strict=True)
                deeper += [
                    f"{prefix}{branch:x}" for branch, (ours, their) in enumerate(pairs) if ours != their
                ]
            else:
                listed, answers = _cut(answers, kind[0], HASH_BYTES + FINGERPRINT_BYTES)
                self._compare(prefix, {each[:HASH_BYTES]: each[HASH_BYTES:] for each in listed})
        if answers:
            raise CorruptFrame(f"{len(answers)} bytes after the last answer")
        found = Differing(tuple(self._documents), tuple(self._hashes))
        if not found.is_nameable or len(deeper) > RANGES_ASKED_MAX:
            return None
        return deeper or found

    def _compare(self, prefix: str, theirs: Mapping[bytes, bytes]) -> None:
        ours = self._ranges.within(prefix)
        for each in sorted(ours.keys() | theirs.keys()):
            if each in ours and theirs.get(each) == _short(ours[each]):
                continue
            # What the hub has too, it finds by the hash; what only we have, it has no name for. Of
            # documents that share a hash it may have some.
            if each in theirs:
                self._hashes.append(each)
            if each not in theirs or len(self._ranges.named((each,))) > 1:
                self._documents += self._ranges.named((each,))

    def names(self, differing: Differing) -> list[DocumentId]:
        """Those of the differing documents that are known here."""
        return list(dict.fromkeys([*differing.documents, *self._ranges.named(differing.hashes)]))


def check_asked(asked: Sequence[str]) -> None:
    """Raises ProtocolViolation for ranges that nobody asks for."""
    if not 1 <= len(asked) <= RANGES_ASKED_MAX:
        raise ProtocolViolation(f"{len(asked)} ranges at once, limit {RANGES_ASKED_MAX}")
    for prefix in asked:
        if len(prefix) > PREFIX_DIGITS_MAX or prefix.strip("0123456789abcdef"):
            raise ProtocolViolation(
                f"{prefix!r} is no range of at most {PREFIX_DIGITS_MAX} hexadecimal digits"
            )


def unpacked_hashes(packed: bytes) -> tuple[bytes, ...]:
    """The hashes of `Range.hashes`. Raises CorruptFrame."""
    count, rest = divmod(len(packed), HASH_BYTES)
    if rest or count > DOCUMENTS_NAMED_MAX:
        raise CorruptFrame(f"{len(packed)} bytes are not at most {DOCUMENTS_NAMED_MAX} hashes")
    return tuple(_cut(packed, count, HASH_BYTES)[0])


def summed(digests: Digests) -> ScopeDigest:
    """The digest of all."""
    total = ScopeDigest()
    for digest in digests.values():
        total = total.replaced(0, digest)
    return total


def _short(total: int) -> bytes:
    return (total % (1 << 8 * FINGERPRINT_BYTES)).to_bytes(FINGERPRINT_BYTES, "big")


def _cut(packed: bytes, count: int, size: int) -> tuple[list[bytes], bytes]:
    if len(packed) < count * size:
        raise CorruptFrame(f"{len(packed)} bytes, where {count} times {size} were announced")
    pieces = [packed[index * size : (index + 1) * size] for index in range(count)]
    return pieces, packed[count * size :]
