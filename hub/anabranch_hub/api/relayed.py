"""Who is at the far end of a stream that came through relays.

    child ---> relay ---> relay ---> hub          BEHIND: child, relay

The connection proves the last relay only. The others are certificates that were passed on: each is verified
here as TLS would have, and its standing asked for as if it had called by itself. Who may pass others on was
decided when it was invited, and only within its own tenant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from anabranch_protos.relaying import LEVELS_MAX
from anabranch_sync.errors import ParcelForged
from anabranch_sync.parcel import check_chain
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from anabranch_hub.api.enrolment import check_standing
from anabranch_hub.errors import CertificateUnknown, EdgeRevoked, RelayRefused, RequestRefused
from anabranch_hub.identity.peer import Peer, peer_of_certificate
from anabranch_hub.store import EdgeStatus, Store


async def peer_behind(
    store: Store, relay: Peer, passed: Sequence[bytes], root: x509.Certificate, now_ms: int
) -> Peer:
    """The edge whose certificate was passed on first; `relay` is who called.

    Raises RelayRefused where the fault is a relay's, CertificateUnknown and EdgeRevoked where it is the
    edge's own, StoreUnavailable.
    """
    if len(passed) > LEVELS_MAX:
        raise RelayRefused(relay.edge, f"it passes on {len(passed)} certificates, limit {LEVELS_MAX}")
    await _check_relay(store, relay)
    child, *between = passed
    via = [relay.edge]
    for der in reversed(between):
        try:
            below = _verified(der, relay.tenant, root, now_ms)
        except CertificateUnknown as error:
            raise RelayRefused(relay.edge, f"of a relay behind it: {error}") from error
        await _check_relay(store, below)
        via.append(below.edge)
    peer = _verified(child, relay.tenant, root, now_ms)
    await check_standing(store, peer)
    return replace(peer, via=tuple(reversed(via)), certificate=child)


def check_proof(peer: Peer, csr_pem: bytes, proof: bytes) -> None:
    """Return if the edge behind a relay has asked for this certificate itself. Raises CertificateUnknown."""
    if not peer.via:
        return  # its key was proved by the connection
    key = x509.load_der_x509_certificate(peer.certificate).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey), "the authority certifies no other keys"
    try:
        key.verify(proof, csr_pem, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise CertificateUnknown("the edge itself has not asked for the next one") from error


async def _check_relay(store: Store, peer: Peer) -> None:
    try:
        await check_standing(store, peer)
    except RequestRefused as error:
        raise RelayRefused(peer.edge, str(error)) from error
    edge = await store.edge(peer.tenant, peer.edge)
    if edge.status is EdgeStatus.REVOKED:  # also one that is let in to be told of a wipe
        raise RelayRefused(peer.edge, str(EdgeRevoked(peer.tenant, peer.edge)))
    if not edge.relay:
        raise RelayRefused(peer.edge, "it was not invited as a relay")


def _verified(der: bytes, tenant: str, root: x509.Certificate, now_ms: int) -> Peer:
    """The edge of a certificate of this hub's. Raises CertificateUnknown."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        check_chain([certificate], root, now_ms)
    except (ValueError, ParcelForged) as error:
        raise CertificateUnknown("what the relay passed on is none of this hub's") from error
    peer = peer_of_certificate(certificate)
    if peer.tenant != tenant:
        raise CertificateUnknown("it is of another tenant than the relay")
    return peer
