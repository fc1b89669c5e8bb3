"""Parcels: frames of the exchange in a signed file, for sites that no network reaches.

::

    "anabranch parcel 1\\n" | msgpack [letter, certificates (DER, the signer's first), signature]
    letter = msgpack [sender, tenant, edge, export, answers, made_ms, part, parts, after, upto, frames]

The edge signs with the key of its certificate, the hub with that of a certificate for COURIER_ID: an edge
knows nothing of its hub for certain but the root that it was enrolled with. ECDSA over P-256 and SHA-256,
over everything before the certificates. The letter is in clear: whoever holds the file can read it.

Nothing in a parcel is believed before its signature: `opened` gives a letter only when it holds.
"""

from dataclasses import dataclass
from typing import Any

import msgpack
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from anabranch_sync.errors import CorruptFrame, InvalidName, ParcelDamaged, ParcelForged
from anabranch_sync.frame import FRAME_BYTES_MAX
from anabranch_sync.ids import Cursor, check_edge, check_tenant
from anabranch_sync.packing import unpack
from anabranch_sync.value import INT_MAX

MAGIC = b"anabranch parcel 1\n"
# Whom an edge lets speak for its hub in a file. No edge, relay or server has a certificate for this name.
COURIER_ID = "spiffe://anabranch/hub/courier"
EXPORT_BYTES = 16
# A parcel is read whole: a stick of any size holds many, a small device has memory for one.
PARCEL_BYTES_MAX = 32 * 1024 * 1024
# Beside its frames a parcel has a name or two, a signature and certificates: under 3 KiB.
PARCEL_OVERHEAD_BYTES = 4 * 1024
# One file has room for a frame of any size at least.
PARCEL_BYTES_MIN = FRAME_BYTES_MAX + PARCEL_OVERHEAD_BYTES
# What a file of the largest size holds, in frames of 3 kB.
FRAMES_MAX = 10_000
# The signer's, and what stands between it and the root.
CERTIFICATES_MAX = 4
CERTIFICATE_BYTES_MAX = 4 * 1024
SIGNATURE_BYTES_MAX = 128
_EDGE, _HUB = 0, 1


@dataclass(frozen=True, slots=True)
class Letter:
    """What a parcel says. `part` counts from 1 to `parts`, the files of one export.

    `export` is drawn for each export, `answers` names that of the edge which the hub answers (empty from an
    edge). From the hub, the pull inside leads from `after` (START: from nothing) to `upto`.
    """

    from_hub: bool
    tenant: str
    edge: str
    export: bytes
    answers: bytes
    made_ms: int
    part: int
    parts: int
    after: Cursor
    upto: Cursor
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A letter and who is proved to have signed it."""

    letter: Letter
    certificate: x509.Certificate


def encode_letter(letter: Letter) -> bytes:
    """The bytes of `letter`; they are what is signed, behind MAGIC."""
    cursors = [[each.epoch, each.hub_seq] for each in (letter.after, letter.upto)]
    body: bytes = msgpack.packb(
        [
            *(_HUB if letter.from_hub else _EDGE, letter.tenant, letter.edge, letter.export, letter.answers),
            *(letter.made_ms, letter.part, letter.parts, *cursors, list(letter.frames)),
        ]
    )
    return body


def decode_letter(body: bytes) -> Letter:
    """The letter of `encode_letter`'s bytes. Raises ParcelDamaged."""
    try:
        row = unpack(body)
        sender, tenant, edge, export, answers, made_ms, part, parts, after, upto, frames = row
        letter = Letter(
            bool((_EDGE, _HUB).index(sender)),
            check_tenant(_typed(tenant, str)),
            check_edge(_typed(edge, str)),
            _typed(export, bytes),
            _typed(answers, bytes),
            _natural(made_ms),
            _natural(part),
            _natural(parts),
            Cursor(*map(_natural, after)),
            Cursor(*map(_natural, upto)),
            tuple(_typed(each, bytes) for each in _typed(frames, list)),
        )
    except (CorruptFrame, InvalidName, ValueError, TypeError) as error:
        raise ParcelDamaged(str(error)) from error
    if len(letter.export) != EXPORT_BYTES or len(letter.answers) not in (0, EXPORT_BYTES):
        raise ParcelDamaged(f"the name of an export is {EXPORT_BYTES} bytes")
    if not 1 <= letter.part <= letter.parts:
        raise ParcelDamaged(f"part {letter.part} of {letter.parts}")
    if not 1 <= len(letter.frames) <= FRAMES_MAX or any(len(f) > FRAME_BYTES_MAX for f in letter.frames):
        raise ParcelDamaged(f"it has none or more than {FRAMES_MAX} frames, or one over {FRAME_BYTES_MAX}")
    return letter


def signed_bytes(body: bytes) -> bytes:
    """What the signature of a letter with these bytes is over."""
    return MAGIC + body


def wrapped(body: bytes, certificates: tuple[bytes, ...], signature: bytes) -> bytes:
    """The file: a letter's bytes, the certificates from the signer's up, the signature."""
    wrapping: bytes = msgpack.packb([body, list(certificates), signature])
    return MAGIC + wrapping


def opened(raw: bytes, root: x509.Certificate, now_ms: int) -> Opened:
    """The letter in a file, signed by a certificate of `root` that is valid at `now_ms`.

    What the certificate entitles to is for the caller. Raises ParcelDamaged, ParcelForged.
    """
    if len(raw) > PARCEL_BYTES_MAX:
        raise ParcelDamaged(f"it is {len(raw)} bytes, limit {PARCEL_BYTES_MAX}")
    if not raw.startswith(MAGIC):
        raise ParcelDamaged("it does not begin as a courier file does")
    try:
        body, chain, signature = unpack(raw[len(MAGIC) :])
        body, signature = _typed(body, bytes), _typed(signature, bytes)
        encoded = [_typed(each, bytes) for each in _typed(chain, list)]
    except (CorruptFrame, ValueError, TypeError) as error:
        raise ParcelDamaged("it is cut off or not whole") from error
    if not 1 <= len(encoded) <= CERTIFICATES_MAX or len(signature) > SIGNATURE_BYTES_MAX:
        raise ParcelDamaged(f"it has none or more than {CERTIFICATES_MAX} certificates, or no signature")
    if any(len(each) > CERTIFICATE_BYTES_MAX for each in encoded):
        raise ParcelDamaged(f"a certificate is over {CERTIFICATE_BYTES_MAX} bytes")
    try:
        certificates = [x509.load_der_x509_certificate(each) for each in encoded]
    except (ValueError, x509.InvalidVersion) as error:
        raise ParcelDamaged("a certificate in it cannot be read") from error
    signer = certificates[0]
    check_chain(certificates, root, now_ms)
    key = signer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ParcelForged("its certificate has a key of another kind than edges and hubs have")
    try:
        key.verify(signature, signed_bytes(body), ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise ParcelForged("its signature is not that of its content") from error
    return Opened(decode_letter(body), signer)


def check_chain(certificates: list[x509.Certificate], root: x509.Certificate, now_ms: int) -> None:
    """Return if the first certificate leads to `root` over the others, all valid. Raises ParcelForged."""
    for below, above in zip(certificates, [*certificates[1:], root], strict=True):
        if above is not root and not _may_issue(above):
            raise ParcelForged("it is signed through a certificate that may sign no other")
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise ParcelForged("its certificate is not of this hub's root") from error
    for each in certificates:
        if now_ms > each.not_valid_after_utc.timestamp() * 1000:
            until = f"{each.not_valid_after_utc:%Y-%m-%d}"
            raise ParcelForged(f"its certificate ended on {until}: export it again with a newer one")
        if now_ms < each.not_valid_before_utc.timestamp() * 1000:
            raise ParcelForged("its certificate is not yet valid")


def uris_of(certificate: x509.Certificate) -> list[str]:
    """The URIs that `certificate` is for; none where it cannot be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        return []


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{type(value).__name__} where {kind.__name__} was due")
    return value


def _natural(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= INT_MAX:
        raise ValueError(f"{value!r} is no natural number of 63 bits")
    return value
