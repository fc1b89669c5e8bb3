"""Who an operator is to a hub far away: a key made here, a certificate for it, and the hub's root.

::

    DIR/          0700
      key.pem     0600, never leaves
      cert.pem    the certificate and its issuers
      ca.pem      the root that the hub's own certificate must end in
      hub.json    address, tenant, operator; written last, so that half an identity is none
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import TypeAdapter, ValidationError

from anabranch_hub.errors import IdentityUnusable
from anabranch_hub.servers.private_files import make_private_folder, write_private

_KEY, _CERTIFICATE, _ROOT, _HUB = "key.pem", "cert.pem", "ca.pem", "hub.json"


@dataclass(frozen=True, slots=True)
class Whom:
    """Which hub, and as whom: what is in hub.json. `address` is HOST:PORT."""

    address: str
    tenant: str
    operator: str


@dataclass(frozen=True, slots=True)
class OperatorIdentity:
    """What it takes to ask a hub in one's own name."""

    whom: Whom
    key_pem: bytes = field(repr=False)
    chain_pem: bytes
    root_pem: bytes

    @property
    def not_after_ms(self) -> int:
        """When the certificate ends."""
        leaf = x509.load_pem_x509_certificates(self.chain_pem)[0]
        return int(leaf.not_valid_after_utc.timestamp() * 1000)


_ADAPTER = TypeAdapter(Whom)


def new_request() -> tuple[bytes, bytes]:
    """A P-256 key and a request that proves it, both in PEM. The hub decides whom it certifies."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key_pem, request.public_bytes(Encoding.PEM)


def prepare(folder: Path) -> None:
    """Find out whether an identity can be written into `folder`, before a token is used up for it.

    Raises IdentityUnusable when there is one already or files of something else, DataDirNotWritable.
    """
    if (folder / _HUB).exists():
        raise IdentityUnusable(str(folder), "there is one already: choose another folder")
    for name in (_KEY, _CERTIFICATE, _ROOT):
        # Somebody's only key may have that name; an empty file is of an enrolment that came to nothing.
        if (folder / name).exists() and (folder / name).stat().st_size:
            raise IdentityUnusable(str(folder), f"there is another {name}: choose another folder")
    make_private_folder(folder)
    write_private(folder / _ROOT, b"")


def write_identity(folder: Path, identity: OperatorIdentity) -> None:
    """Write an identity into a folder that was prepared. Raises DataDirNotWritable."""
    write_private(folder / _KEY, identity.key_pem)
    write_private(folder / _CERTIFICATE, identity.chain_pem)
    write_private(folder / _ROOT, identity.root_pem)
    write_private(folder / _HUB, _ADAPTER.dump_json(identity.whom, indent=1))


def read_identity(folder: Path) -> OperatorIdentity:
    """The identity in `folder`. Raises IdentityUnusable."""
    reading = _HUB
    try:
        whom = _ADAPTER.validate_json((folder / _HUB).read_bytes())
        reading = _KEY
        if (folder / _KEY).stat().st_mode & 0o077:
            raise IdentityUnusable(str(folder), f"others can read {_KEY}: chmod 600 it, or ask for another")
        key_pem = (folder / _KEY).read_bytes()
        reading = _CERTIFICATE
        chain_pem = (folder / _CERTIFICATE).read_bytes()
        x509.load_pem_x509_certificates(chain_pem)
        reading = _ROOT
        root_pem = (folder / _ROOT).read_bytes()
        x509.load_pem_x509_certificate(root_pem)
    except OSError as error:
        raise IdentityUnusable(str(folder), f"{reading}: {error.strerror or error}") from error
    except (ValidationError, ValueError) as error:
        raise IdentityUnusable(str(folder), f"{reading} is damaged") from error
    return OperatorIdentity(whom, key_pem, chain_pem, root_pem)
