"""The hub's certificate authority: who is a hub, and which edge or operator of which tenant is which.

    root (P-256, in Vault, its key never leaves)
      ├── server certificates      DNS names and addresses, server authentication only
      ├── edge certificates        one SPIFFE id, client authentication only
      │                            spiffe://anabranch/tenant/<tenant>/edge/<edge>
      ├── courier certificates     one SPIFFE id for every hub, for signing files to edges
      └── operator certificates    the same, of people who look after one tenant
                                   spiffe://anabranch/tenant/<tenant>/operator/<operator>

Every tenant has a role of its own in Vault for each kind (edges that are relays have theirs), which signs no
id but that kind's and that tenant's: even a hub that mistook one for another could not issue the wrong id.

Certificates are valid from before 1970. A device without a clock battery wakes in 1970, and a certificate
that starts later would lock it out of the very hub that could tell it the time.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from anabranch_protos.relaying import relay_name
from anabranch_sync.ids import check_edge, check_operator, check_tenant
from anabranch_sync.parcel import COURIER_ID
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from anabranch_hub.errors import CertificateRequestRefused
from anabranch_hub.secrets.vault import MOUNT_PREFIX, Vault

PKI = MOUNT_PREFIX + "pki"
SERVER_ROLE = "server"
COURIER_ROLE = "courier"

DAY_S = 86_400

# Nobody replaces the root of a device in the field; 50 years outlive it.
ROOT_TTL_S = 50 * 365 * DAY_S
# A hub gets a new certificate at every start and long before this.
SERVER_TTL_S = 365 * DAY_S
# A hub gets a new one of these at every start too; a file may be on its way for as long.
COURIER_TTL_S = 365 * DAY_S
# An edge may be away for weeks, and must still be let in when it comes back: three months, at most a year.
EDGE_TTL_S = 90 * DAY_S
EDGE_TTL_S_MAX = 365 * DAY_S
# An operator is a person, who can ask for the next one: a month, at most the quarter of an edge.
OPERATOR_TTL_S = 30 * DAY_S
OPERATOR_TTL_S_MAX = 90 * DAY_S

# Vault counts "valid from" back from now, and fixes the distance in the role. A year's margin before 1970 and
# a role rewritten daily keep it before 1970 for ever.
BACKDATED_MARGIN_S = 365 * DAY_S
ROLE_FRESH_S = DAY_S

# A P-256 request with a long name is 500 bytes; more is not one.
REQUEST_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class ServerCredentials:
    """What a TLS server needs, in PEM."""

    key_pem: bytes = field(repr=False)
    chain_pem: bytes


class Authority:
    """Signs certificates through `vault`. `wall_s` gives the seconds since 1970, for tests."""

    def __init__(self, vault: Vault, wall_s: Callable[[], float] = time.time) -> None:
        self._vault = vault
        self._wall_s = wall_s
        self._role_written_s: dict[str, float] = {}

    async def ensure(self) -> None:
        """Make the authority when there is none; safe to repeat, and from several hubs."""
        await self._vault.ensure_authority(
            PKI,
            {
                "common_name": "anabranch",
                "key_type": "ec",
                "key_bits": 256,
                "ttl": f"{ROOT_TTL_S}s",
                "not_before_duration": self._backdated(),
            },
        )

    async def root_pem(self) -> bytes:
        """What peers must trust."""
        return (await self._vault.ca_certificate(PKI)).strip().encode("ascii") + b"\n"

    async def server_credentials(
        self, host_names: Sequence[str], ttl_s: int = SERVER_TTL_S
    ) -> ServerCredentials:
        """A new key, made here and known to nobody else, with a certificate for names and IP addresses."""
        await self._fresh_role(
            SERVER_ROLE,
            {
                "allow_any_name": True,
                "allow_ip_sans": True,
                "server_flag": True,
                "client_flag": False,
                "max_ttl": f"{SERVER_TTL_S}s",
            },
        )
        key, request = _new_request()
        addresses = [name for name in host_names if _is_address(name)]
        names = [name for name in host_names if not _is_address(name)]
        chain = await self._vault.sign_csr(
            PKI,
            SERVER_ROLE,
            {
                "csr": request,
                "alt_names": ",".join(names),
                "ip_sans": ",".join(addresses),
                "ttl": f"{ttl_s}s",
            },
        )
        return ServerCredentials(_key_pem(key), _without_root(chain))

    async def courier_credentials(self) -> ServerCredentials:
        """A new key, made here, with a certificate for signing files to edges and for nothing else."""
        await self._fresh_role(
            COURIER_ROLE,
            {
                "allowed_uri_sans": [COURIER_ID],
                "allow_ip_sans": False,
                "allow_localhost": False,
                "server_flag": False,
                "client_flag": False,
                "max_ttl": f"{COURIER_TTL_S}s",
            },
        )
        key, request = _new_request()
        wanted = {"csr": request, "uri_sans": COURIER_ID, "ttl": f"{COURIER_TTL_S}s"}
        chain = await self._vault.sign_csr(PKI, COURIER_ROLE, wanted)
        return ServerCredentials(_key_pem(key), _without_root(chain))

    async def sign_edge(
        self, csr_pem: bytes, tenant: str, edge: str, ttl_s: int = EDGE_TTL_S, *, relay: bool = False
    ) -> bytes:
        """Certify that the request's key is `edge` of `tenant`; the chain in PEM.

        A relay's certificate is also a server's, for the one name of the tenant's relays.

        Name and alternative names in the request are ignored: the invitation says who it is. Raises
        CertificateRequestRefused; tenant and edge are checked again, since they become an identity.
        """
        check_tenant(tenant)
        check_edge(edge)
        everyone, named = spiffe_id(tenant, "*"), spiffe_id(tenant, edge)
        role, serves = (f"relay-{tenant}", relay_name(tenant)) if relay else (f"edge-{tenant}", "")
        return await self._sign_client(csr_pem, role, everyone, named, ttl_s, EDGE_TTL_S_MAX, serves=serves)

    async def sign_operator(
        self, csr_pem: bytes, tenant: str, operator: str, ttl_s: int = OPERATOR_TTL_S
    ) -> bytes:
        """Certify that the request's key is `operator` of `tenant`, as `sign_edge` does an edge's."""
        check_tenant(tenant)
        check_operator(operator)
        everyone = operator_spiffe_id(tenant, "*")
        named = operator_spiffe_id(tenant, operator)
        return await self._sign_client(
            csr_pem, f"operator-{tenant}", everyone, named, ttl_s, OPERATOR_TTL_S_MAX
        )

    async def _sign_client(
        self,
        csr_pem: bytes,
        role: str,
        allowed: str,
        named: str,
        ttl_s: int,
        ttl_s_max: int,
        serves: str = "",
    ) -> bytes:
        """Sign for the id `named`, through a role that signs for `allowed` only.

        `serves`: a DNS name that it may serve under too.
        """
        checked_request(csr_pem)
        await self._fresh_role(
            role,
            {
                "allowed_uri_sans": [allowed],
                "allow_ip_sans": False,
                "allow_localhost": False,
                "allowed_domains": [serves] if serves else [],
                "allow_bare_domains": bool(serves),
                "server_flag": bool(serves),
                "client_flag": True,
                "max_ttl": f"{ttl_s_max}s",
            },
        )
        request = {
            "csr": csr_pem.decode("ascii"),
            "uri_sans": named,
            "alt_names": serves,
            "ttl": f"{min(ttl_s, ttl_s_max)}s",
        }
        return _without_root(await self._vault.sign_csr(PKI, role, request))

    async def _fresh_role(self, role: str, rules: dict[str, object]) -> None:
        """Write `role` when this process has not done so today."""
        written_s = self._role_written_s.get(role)
        if written_s is not None and abs(self._wall_s() - written_s) < ROLE_FRESH_S:
            return
        common: dict[str, object] = {
            "key_type": "ec",
            "key_bits": 256,
            "key_usage": ["DigitalSignature"],
            "require_cn": False,
            "use_csr_common_name": False,
            "use_csr_sans": False,
            "not_before_duration": self._backdated(),
        }
        await self._vault.write_role(PKI, role, common | rules)
        self._role_written_s[role] = self._wall_s()

    def _backdated(self) -> str:
        return f"{int(self._wall_s()) + BACKDATED_MARGIN_S}s"


def spiffe_id(tenant: str, edge: str) -> str:
    """The identity of `edge` of `tenant`, as its certificate carries it."""
    return f"spiffe://anabranch/tenant/{tenant}/edge/{edge}"


def operator_spiffe_id(tenant: str, operator: str) -> str:
    """The identity of `operator` of `tenant`, as its certificate carries it."""
    return f"spiffe://anabranch/tenant/{tenant}/operator/{operator}"


def checked_request(csr_pem: bytes) -> x509.CertificateSigningRequest:
    """The request, signed by its own P-256 key. Raises CertificateRequestRefused."""
    if len(csr_pem) > REQUEST_BYTES_MAX:
        raise CertificateRequestRefused(f"it is {len(csr_pem)} bytes, limit {REQUEST_BYTES_MAX}")
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        key = request.public_key()
        is_proved = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CertificateRequestRefused("it is not a PEM certificate request") from error
    # gRPC's TLS (BoringSSL) takes no Ed25519 certificate from a peer unless told to, and P-256 is everywhere.
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRequestRefused("its key is not on the curve P-256")
    if not is_proved:
        raise CertificateRequestRefused("it is not signed by the key it names")
    return request


def _new_request() -> tuple[ec.EllipticCurvePrivateKey, str]:
    """A new key, and the PEM of a request that names nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return key, request.public_bytes(Encoding.PEM).decode("ascii")


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _without_root(chain: Sequence[str]) -> bytes:
    """The certificates a peer must be sent; the root it has to know already."""
    certificates = [x509.load_pem_x509_certificate(pem.encode("ascii")) for pem in chain]
    sent = [certificate for certificate in certificates if certificate.issuer != certificate.subject]
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in sent)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
