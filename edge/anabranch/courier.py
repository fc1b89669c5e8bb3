"""Courier files: what this edge has for its hub as files, and the hub's answers taken in.

For a site that no network reaches, for hours or for ever. A file is signed and not encrypted: it holds
configuration in clear, and is its owner's alone where it is written.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anabranch_sync.change import CHAIN_START, Entry
from anabranch_sync.courier import admitted, export_name, letters_from_edge, presented, pushes
from anabranch_sync.edge_effects import (
    Acknowledge,
    Adopt,
    Apply,
    Close,
    Distrust,
    EdgeEffect,
    Load,
    Report,
    Reset,
    Send,
    StorePart,
    Witness,
)
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.errors import ParcelForeign, ParcelForged, ParcelStray
from anabranch_sync.ids import START, LocalSeq
from anabranch_sync.parcel import (
    COURIER_ID,
    EXPORT_BYTES,
    Letter,
    encode_letter,
    opened,
    signed_bytes,
    uris_of,
    wrapped,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from anabranch.identity import Identity, identity_folder, read_identity
from anabranch.parcel_files import file_names, naming, read_parcel, write_parcels
from anabranch.replica import Replica


@dataclass(frozen=True, slots=True)
class Exported:
    """Files for the hub: `changes` are in them, or `renewal`, the wish for a new incarnation."""

    files: tuple[Path, ...]
    changes: int
    renewal: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """What one file of the hub's brought; `known`: nothing that was not here.

    `complete` is False where more parts of the pull are to come. `next_step` says what to do now.
    """

    file: Path
    part: int
    parts: int
    known: bool
    acknowledged: int
    documents: int
    complete: bool
    next_step: str = ""


def export_to_files(path: Path, target: Path, bytes_max: int) -> Exported:
    """Write what the hub lacks of the replica at `path` to `target`, or to target.001 and so on.

    Each holds at most `bytes_max` unless a single change is larger. Safe to repeat: what the hub has
    merged is left out as soon as its answer was imported. Raises ReplicaError, IdentityUnusable,
    IdentityForeign, OSError.
    """
    with Replica.open(path) as replica:
        return replica.salvaging(lambda: _exported(replica, target, bytes_max))


def _exported(replica: Replica, target: Path, bytes_max: int) -> Exported:
    identity = read_identity(identity_folder(replica.path), of=f"{replica.tenant}/{replica.edge}")
    standing = replica.standing()
    renewal = replica.parcels.renewal_due() or standing.incarnation == 0
    session = EdgeSession(standing, replica.scope.fingerprint, renew=renewal)
    now_ms = time.time_ns() // 1_000_000
    (hello,) = (each.frame for each in session.start(now_ms) if isinstance(each, Send))
    # Under an incarnation that has to end nothing is sent: it would be taken for another history.
    entries = [] if renewal else list(_unsent(replica, standing.push_mark))
    chain = standing.chain or CHAIN_START
    shown = presented(hello)
    letters = letters_from_edge(shown, pushes(entries, chain, bytes_max), bytes_max)
    export = export_name(secrets.token_bytes(EXPORT_BYTES), shown)
    replica.parcels.exported(export, now_ms)
    files = file_names(target, len(letters))
    parcels = [
        _signed(
            identity,
            Letter(
                *(False, replica.tenant, replica.edge, export, b"", max(0, now_ms)),
                *(part, len(letters), START, START, frames),
            ),
        )
        for part, frames in enumerate(letters, 1)
    ]
    write_parcels(files, parcels)
    return Exported(files, len(entries), renewal)


def import_files(path: Path, files: Sequence[Path]) -> Iterator[Imported]:
    """Take the hub's answers in, in the order in which they were made; each whole or not at all.

    Safe to repeat. Nobody else exchanges meanwhile. Raises ReplicaError (ReplicaInUse: stop the agent
    first), IdentityUnusable, IdentityForeign, ParcelError, OSError.
    """
    with Replica.open(path) as replica, replica.lock_agent():
        identity = read_identity(identity_folder(path), of=f"{replica.tenant}/{replica.edge}")
        letters = []
        for file in files:
            with naming(file):
                letters.append((file, _verified(read_parcel(file), identity)))
        for file, letter in sorted(letters, key=lambda each: (each[1].made_ms, each[1].part)):
            with naming(file):
                yield _Taking(replica, letter).take(file)


class _Taking:
    """One letter of the hub's, as a session of the edge takes it."""

    def __init__(self, replica: Replica, letter: Letter) -> None:
        self._replica = replica
        self._letter = letter
        self._standing = replica.standing()
        # The files say which incarnation they are for; what this session would ask for itself is not sent.
        self._session = EdgeSession(self._standing, replica.scope.fingerprint)
        self._close: Close | None = None
        self._documents = 0
        self._applied = False

    def take(self, file: Path) -> Imported:
        """Feed the session and carry out what it decides. Raises ParcelError, ReplicaError."""
        letter, replica, now_ms = self._letter, self._replica, self._now_ms()
        frames = admitted(letter, self._standing, replica.parcels.exports())
        self._carry_out(self._session.start(now_ms))
        for frame in frames:
            self._carry_out(self._session.received(frame, now_ms))
            if self._close is not None:
                return self._ended(file, self._close)
        known = not frames or (not self._applied and replica.standing() == self._standing)
        return self._imported(file, known=known)

    def _ended(self, file: Path, close: Close) -> Imported:
        """What to tell of a session that would not go on."""
        if close.renew:
            self._replica.parcels.ask_renewal()
            step = "the hub knows another history of this replica: export again, to ask for a new incarnation"
            return self._imported(file, known=False, next_step=step)
        if self._applied:  # the documents differ from the hub's, and the next pull will be whole
            step = f"{close.reason}: export again, and the hub's answer will hold everything"
            return self._imported(file, known=False, next_step=step)
        raise ParcelStray(close.reason)

    def _imported(self, file: Path, *, known: bool, next_step: str = "") -> Imported:
        letter, after = self._letter, self._replica.standing()
        same = after.incarnation == self._standing.incarnation
        return Imported(
            file,
            letter.part,
            letter.parts,
            known,
            after.push_mark - self._standing.push_mark if same else 0,
            self._documents,
            after.cursor >= letter.upto or self._applied,
            next_step,
        )

    def _carry_out(self, effects: Sequence[EdgeEffect]) -> None:
        for effect in effects:
            self._carry_out(self._done(effect))

    def _done(self, effect: EdgeEffect) -> Sequence[EdgeEffect]:
        """Carry one effect out; what the session makes of it. What it would send has no way: files answer."""
        replica, session, now_ms = self._replica, self._session, self._now_ms()
        match effect:
            case Send():
                pass
            case Load(after):
                # A file may acknowledge many pushes at once, so the histories are compared as a whole.
                return session.loaded(list(_unsent(replica, after)))
            case StorePart(batch, total, offset, piece):
                replica.store_part(batch, total, offset, piece)
            case Acknowledge(push_mark, chain):
                replica.acknowledge(push_mark, chain)
            case Apply(pull, reoffer, rescoped):
                digest = replica.apply(pull, now_ms, reoffer, rescoped)
                self._documents, self._applied = len(pull.documents), True
                return session.applied(digest)
            case Adopt(incarnation):
                replica.adopt(incarnation)
                return session.adopted(replica.standing())
            case Reset():
                replica.reset()
            case Report(incident):
                replica.equality.report(incident, now_ms)
            case Witness(witnessed, hub_seq, epoch, broken):
                replica.witness(witnessed, hub_seq, now_ms, epoch=epoch, broken=broken)
            case Distrust(reason, checkpoint):
                replica.distrust(reason, checkpoint, now_ms)
            case Close():
                self._close = effect
        return ()

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000


def _unsent(replica: Replica, after: LocalSeq) -> Iterator[Entry]:
    """The outbox after `after`, all of it."""
    while entries := replica.pending(after):
        yield from entries
        after = entries[-1].dot.local_seq


def _signed(identity: Identity, letter: Letter) -> bytes:
    key = load_pem_private_key(identity.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "a key of another kind than new_key makes"
    body = encode_letter(letter)
    chain = tuple(
        each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(identity.chain_pem)
    )
    return wrapped(body, chain, key.sign(signed_bytes(body), ec.ECDSA(hashes.SHA256())))


def _verified(raw: bytes, identity: Identity) -> Letter:
    """The letter, if this edge's hub wrote it for this edge. Raises ParcelError."""
    root = x509.load_pem_x509_certificate(identity.root_pem)
    found = opened(raw, root, time.time_ns() // 1_000_000)
    letter, here = found.letter, f"{identity.tenant}/{identity.edge}"
    if uris_of(found.certificate) != [COURIER_ID]:
        if not letter.from_hub:
            raise ParcelForeign(f"it goes from {letter.tenant}/{letter.edge} to the hub, and this is no hub")
        raise ParcelForged("it is not signed by this edge's hub")
    if not letter.from_hub:
        raise ParcelForged("the hub has signed it in an edge's name")
    if f"{letter.tenant}/{letter.edge}" != here:
        raise ParcelForeign(f"it is for {letter.tenant}/{letter.edge}, and this edge is {here}")
    return letter
