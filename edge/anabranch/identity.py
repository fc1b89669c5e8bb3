"""Who this edge is to its hub: a key that never leaves, a certificate for it, and the hub's root.

::

    <replica>.identity/     0700
      key.pem               0600, made here
      cert.pem              the certificate and its issuers
      ca.pem                the root that the hub's own certificate must end in
      hub                   JSON: address, tenant, edge, renew_at_ms
      key.pem.next          a key whose certificate is still to come
    <replica>.identity.new/ another identity, which takes the place of the first as soon as it is whole

Every file is replaced whole. A renewal puts the certificate in place first and its key after it; whoever
finds the one without the other finishes that, and so whoever finds another identity that is whole.
"""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from anabranch_protos.relaying import relay_name
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from anabranch.errors import IdentityForeign, IdentityUnusable

_KEY, _KEY_NEXT, _CERTIFICATE, _ROOT, _HUB = "key.pem", "key.pem.next", "cert.pem", "ca.pem", "hub"
# The identity whose place this one takes, on its way out.
_BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Identity:
    """What it takes to speak to the hub at `address` (host:port).

    `renew_at_ms` is when to ask for the next certificate, by the hub's clock. `via` is the address of a relay
    of the tenant through which to reach the hub, empty where the hub is called itself.
    """

    address: str
    tenant: str
    edge: str
    key_pem: bytes = field(repr=False)
    chain_pem: bytes
    root_pem: bytes
    renew_at_ms: int
    via: str = ""

    @property
    def called(self) -> str:
        """The address that is called."""
        return self.via or self.address

    @property
    def server_name(self) -> str | None:
        """The name that whoever answers there must have a certificate for, unless it is the host called."""
        return relay_name(self.tenant) if self.via else None

    @property
    def serves_as(self) -> tuple[str, ...]:
        """The names for which this edge's certificate lets it serve others: that of relays, or none."""
        try:
            names = (
                _leaf(self.chain_pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            )
        except x509.ExtensionNotFound:
            return ()
        return tuple(names.get_values_for_type(x509.DNSName))

    @property
    def not_before_ms(self) -> int:
        """When the certificate begins."""
        return int(_leaf(self.chain_pem).not_valid_before_utc.timestamp() * 1000)

    @property
    def not_after_ms(self) -> int:
        """When the certificate ends."""
        return int(_leaf(self.chain_pem).not_valid_after_utc.timestamp() * 1000)


def identity_folder(replica: Path) -> Path:
    """Where the identity of the replica at `replica` is."""
    return Path(f"{replica}.identity")


def coming_folder(folder: Path) -> Path:
    """Where another identity is made that is to take the place of the one in `folder`."""
    return folder.with_name(f"{folder.name}.new")


def put_in_place(folder: Path) -> None:
    """Let another identity take the place of the one in `folder`, if it is whole. Raises OSError.

    Safe to repeat, and from several processes at once.
    """
    coming = coming_folder(folder)
    if not (coming / _HUB).exists():
        return
    with suppress(FileNotFoundError):  # somebody else has come as far
        folder.rename(coming / _BEFORE)
    with suppress(FileNotFoundError):
        coming.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(folder / _BEFORE, ignore_errors=True)


def new_key() -> bytes:
    """A P-256 key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_request(key_pem: bytes) -> bytes:
    """A request that proves the key; it names nobody, since the hub decides whom it certifies."""
    key = load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "a key of another kind than new_key makes"
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM)


def read_identity(folder: Path, *, of: str = "") -> Identity:
    """Read the identity, and finish what was cut off: a renewal, or the coming of another identity.

    Raises IdentityUnusable, and IdentityForeign unless it is that of the edge `of` (TENANT/EDGE).
    """
    with suppress(OSError):  # where nothing can be written, the one before is read
        put_in_place(folder)
    reading = _HUB
    try:
        hub = json.loads((folder / _HUB).read_text())
        address, tenant, edge = (str(hub[name]) for name in ("address", "tenant", "edge"))
        renew_at_ms = int(hub["renew_at_ms"])
        via = str(hub.get("via", ""))
        reading = _ROOT
        root_pem = (folder / _ROOT).read_bytes()
        _leaf(root_pem)
        reading = _CERTIFICATE
        chain_pem = (folder / _CERTIFICATE).read_bytes()
        _leaf(chain_pem)
        reading = _KEY
        key_pem = _key_of(folder, chain_pem)
    except FileNotFoundError as error:
        raise IdentityUnusable(str(folder), f"{Path(error.filename).name} is missing") from error
    except PermissionError as error:
        raise IdentityUnusable(str(folder), f"{reading}: {error.strerror}", "check who owns it") from error
    except OSError as error:
        raise IdentityUnusable(str(folder), f"{reading}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise IdentityUnusable(str(folder), f"{reading} is damaged") from error
    if of and f"{tenant}/{edge}" != of:
        raise IdentityForeign(str(folder), f"{tenant}/{edge}", of)
    return Identity(address, tenant, edge, key_pem, chain_pem, root_pem, renew_at_ms, via)


def write_identity(folder: Path, identity: Identity) -> None:
    """Write a first identity into `folder`, which is there. Raises OSError.

    The file `hub` comes last: with it the identity is whole.
    """
    write_private(folder / _KEY, identity.key_pem)
    write_private(folder / _CERTIFICATE, identity.chain_pem)
    write_private(folder / _ROOT, identity.root_pem)
    write_private(folder / _HUB, _hub_json(identity))
    sync_folder(folder.parent)


def go_via(folder: Path, identity: Identity, via: str) -> Identity:
    """Reach the hub through the relay at `via` from now on; empty: without one. Raises OSError."""
    changed = replace(identity, via=via)
    write_private(folder / _HUB, _hub_json(changed))
    return changed


def proof(key_pem: bytes, csr_pem: bytes) -> bytes:
    """That the holder of this key asks for a certificate with this request."""
    key = load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "a key of another kind than new_key makes"
    return key.sign(csr_pem, ec.ECDSA(hashes.SHA256()))


def next_key(folder: Path) -> bytes:
    """The key to ask a new certificate for, on disk before anybody hears of it. Raises OSError."""
    key_pem = new_key()
    write_private(folder / _KEY_NEXT, key_pem)
    return key_pem


def put_renewed(
    folder: Path, identity: Identity, chain_pem: bytes, root_pem: bytes, renew_at_ms: int
) -> Identity:
    """Go over to the certificate that was asked for with `next_key`. Raises OSError."""
    write_private(folder / _ROOT, root_pem)
    write_private(folder / _CERTIFICATE, chain_pem)
    renewed = replace(
        identity,
        key_pem=_key_of(folder, chain_pem),
        chain_pem=chain_pem,
        root_pem=root_pem,
        renew_at_ms=renew_at_ms,
        via=_chosen_via(folder, identity),
    )
    write_private(folder / _HUB, _hub_json(renewed))
    return renewed


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` durably and whole; its owner's alone from the first moment. Raises OSError."""
    aside = path.with_name(path.name + ".new")
    try:
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)  # a part of it would only keep the disk full
        error.filename = str(path)  # and not a name that nobody asked for, or none
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _key_of(folder: Path, chain_pem: bytes) -> bytes:
    """The key of this certificate, put in place if a renewal was cut off before it was."""
    certified = _leaf(chain_pem).public_key()
    key_pem = (folder / _KEY).read_bytes()
    if load_pem_private_key(key_pem, None).public_key() == certified:
        return key_pem
    waiting = folder / _KEY_NEXT
    key_pem = waiting.read_bytes() if waiting.exists() else b""
    if not key_pem or load_pem_private_key(key_pem, None).public_key() != certified:
        raise IdentityUnusable(str(folder), f"{_KEY} is not the key of {_CERTIFICATE}")
    waiting.replace(folder / _KEY)
    sync_folder(folder)
    return key_pem


def _chosen_via(folder: Path, identity: Identity) -> str:
    """What `go_via` was told last: an agent that runs since before that does not know it."""
    try:
        return str(json.loads((folder / _HUB).read_text()).get("via", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return identity.via


def _leaf(chain_pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain_pem)[0]


def _hub_json(identity: Identity) -> bytes:
    told = {
        "address": identity.address,
        "tenant": identity.tenant,
        "edge": identity.edge,
        "renew_at_ms": identity.renew_at_ms,
        **({"via": identity.via} if identity.via else {}),
    }
    return json.dumps(told, indent=1).encode() + b"\n"
