"""Certificates: an edge's first for an invitation, its next for the one before; an operator's.

The certificate is signed before the invitation is used up, so that a Vault that is away costs nobody a
token. A signed certificate that the store then refuses is worth nothing: every use is checked against the
serial that the store names.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from anabranch_hub.api.exchange import Clock
from anabranch_hub.errors import CertificateUnknown, EdgeRevoked, EdgeUnknown, TenantUnknown
from anabranch_hub.identity.peer import Peer, operator_of_certificate, peer_of_certificate
from anabranch_hub.secrets.authority import Authority, checked_request
from anabranch_hub.store import EdgeStatus, Store

log = logging.getLogger(__name__)

# An edge asks for its next certificate when two thirds of the present one's life are over: the last third
# is for a hub that is away.
RENEW_FRACTION = 2 / 3


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a new edge is told."""

    chain_pem: bytes
    ca_pem: bytes
    tenant: str
    edge: str
    prefixes: tuple[str, ...]
    incarnation: int
    epoch: int
    renew_at_ms: int


@dataclass(frozen=True, slots=True)
class EnrolledOperator:
    """What a new operator is told."""

    chain_pem: bytes
    ca_pem: bytes
    tenant: str
    operator: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """What an edge is told whose certificate was renewed."""

    chain_pem: bytes
    ca_pem: bytes
    renew_at_ms: int


async def enrol(
    store: Store, authority: Authority, clock: Clock, secret_hash: bytes, csr_pem: bytes
) -> Enrolled:
    """Use an invitation. The same request again gets the same answer: a reply may be lost on its way.

    Raises TokenRefused, CertificateRequestRefused, StoreUnavailable, VaultUnavailable.
    """
    key_hash = _key_hash(csr_pem)
    invitation = await store.invitation(secret_hash, clock.now_ms(), key_hash=key_hash)
    relay = (await store.edge(invitation.tenant, invitation.edge)).relay
    chain_pem = await authority.sign_edge(csr_pem, invitation.tenant, invitation.edge, relay=relay)
    ca_pem = await authority.root_pem()
    peer = _peer_of_chain(chain_pem)
    await store.redeem(secret_hash, clock.now_ms(), key_hash=key_hash)
    enrolment = await store.enrolled(peer.tenant, peer.edge, peer.serial, peer.not_after_ms)
    log.info("edge enrolled", extra={"tenant": peer.tenant, "edge": peer.edge, "serial": peer.serial})
    return Enrolled(
        chain_pem,
        ca_pem,
        invitation.tenant,
        invitation.edge,
        invitation.scope.prefixes,
        enrolment.incarnation,
        enrolment.epoch,
        _renew_at_ms(peer, clock.now_ms()),
    )


async def enrol_operator(
    store: Store, authority: Authority, clock: Clock, secret_hash: bytes, csr_pem: bytes
) -> EnrolledOperator:
    """Use an operator's invitation. The same request again gets another certificate for the same key.

    Raises TokenRefused, OperatorRevoked, CertificateRequestRefused, StoreUnavailable, VaultUnavailable.
    """
    key_hash = _key_hash(csr_pem)
    invitation = await store.operator_invitation(secret_hash, clock.now_ms(), key_hash)
    chain_pem = await authority.sign_operator(
        csr_pem, invitation.tenant, invitation.operator, invitation.lasts_s
    )
    ca_pem = await authority.root_pem()
    new = operator_of_certificate(x509.load_pem_x509_certificates(chain_pem)[0])
    await store.operator_enrolled(secret_hash, clock.now_ms(), key_hash, new.serial, new.not_after_ms)
    facts = {"tenant": new.tenant, "operator": new.operator, "serial": new.serial}
    log.info("operator enrolled", extra=facts)
    return EnrolledOperator(chain_pem, ca_pem, new.tenant, new.operator)


async def renew(store: Store, authority: Authority, clock: Clock, peer: Peer, csr_pem: bytes) -> Renewed:
    """A new certificate for `peer`, whose standing was checked. The one before counts until it is shown.

    Raises EdgeRevoked, CertificateRequestRefused, StoreUnavailable, VaultUnavailable.
    """
    relay = (await store.edge(peer.tenant, peer.edge)).relay
    chain_pem = await authority.sign_edge(csr_pem, peer.tenant, peer.edge, relay=relay)
    ca_pem = await authority.root_pem()
    new = _peer_of_chain(chain_pem)
    await store.renewed(peer.tenant, peer.edge, new.serial, new.not_after_ms)
    log.info("certificate renewed", extra={"tenant": peer.tenant, "edge": peer.edge, "serial": new.serial})
    return Renewed(chain_pem, ca_pem, _renew_at_ms(new, clock.now_ms()))


async def check_standing(store: Store, peer: Peer) -> None:
    """Return if `peer` may be served, and a revoked one that is to be wiped, to be told so.

    Raises CertificateUnknown, EdgeRevoked, StoreUnavailable.
    """
    try:
        edge = await store.edge(peer.tenant, peer.edge)
    except (TenantUnknown, EdgeUnknown) as error:
        raise CertificateUnknown(f"edge {peer.edge} of tenant {peer.tenant} is not known here") from error
    if edge.status is EdgeStatus.REVOKED and edge.wipe is None:
        raise EdgeRevoked(peer.tenant, peer.edge)
    if peer.serial == edge.next_serial:
        await store.certificate_shown(peer.tenant, peer.edge, peer.serial)
    elif peer.serial != edge.certificate_serial:
        raise CertificateUnknown(f"edge {peer.edge} was enrolled again since it was issued")


def _key_hash(csr_pem: bytes) -> bytes:
    key = checked_request(csr_pem).public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _peer_of_chain(chain_pem: bytes) -> Peer:
    return peer_of_certificate(x509.load_pem_x509_certificates(chain_pem)[0])


def _renew_at_ms(peer: Peer, now_ms: int) -> int:
    return now_ms + int((peer.not_after_ms - now_ms) * RENEW_FRACTION)
