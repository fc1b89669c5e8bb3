"""The edge or operator at the other end of a connection, from its certificate and from nothing else.

TLS has verified the chain before anything here runs; what is left is to read the name, and to ask the store
whether this very certificate still stands for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import check_edge, check_operator, check_tenant
from cryptography import x509

from anabranch_hub.errors import CertificateUnknown
from anabranch_hub.secrets.authority import operator_spiffe_id, spiffe_id

# gRPC's name for the peer's certificate in PEM.
CERTIFICATE_PROPERTY = "x509_pem_cert"


@dataclass(frozen=True, slots=True)
class Peer:
    """An edge, and the certificate it showed. Times are in milliseconds since 1970.

    `via` are the relays between it and the hub, its own first; they passed `certificate` (DER) on.
    """

    tenant: str
    edge: str
    serial: str
    not_after_ms: int
    via: tuple[str, ...] = ()
    certificate: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class OperatorPeer:
    """An operator, and the certificate it showed."""

    tenant: str
    operator: str
    serial: str
    not_after_ms: int


def peer_of(properties: Mapping[str, Iterable[bytes]]) -> Peer:
    """The edge of a connection with these authentication properties. Raises CertificateUnknown."""
    return peer_of_certificate(_certificate(properties))


def operator_of(properties: Mapping[str, Iterable[bytes]]) -> OperatorPeer:
    """The operator of a connection with these authentication properties. Raises CertificateUnknown."""
    return operator_of_certificate(_certificate(properties))


def peer_of_certificate(certificate: x509.Certificate) -> Peer:
    """The edge that `certificate` names. Raises CertificateUnknown."""
    match _named(certificate):
        case Peer() as edge:
            return edge
        case OperatorPeer():
            raise CertificateUnknown("it is an operator's, and only edges may do this")


def operator_of_certificate(certificate: x509.Certificate) -> OperatorPeer:
    """The operator that `certificate` names. Raises CertificateUnknown."""
    match _named(certificate):
        case OperatorPeer() as operator:
            return operator
        case Peer():
            raise CertificateUnknown("it is an edge's, and only operators may do this", of="operator")


def _certificate(properties: Mapping[str, Iterable[bytes]]) -> x509.Certificate:
    for pem in properties.get(CERTIFICATE_PROPERTY, ()):
        return x509.load_pem_x509_certificate(pem)
    raise CertificateUnknown("there is none")


def _named(certificate: x509.Certificate) -> Peer | OperatorPeer:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ids = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateUnknown("it names nobody") from error
    if len(ids) != 1:
        raise CertificateUnknown("it does not name one edge or operator")
    serial = serial_text(certificate.serial_number)
    not_after_ms = int(certificate.not_valid_after_utc.timestamp() * 1000)
    spiffe = ids[0]
    try:
        match spiffe.split("/"):
            case ["spiffe:", "", _, "tenant", tenant, "edge", edge] if spiffe == spiffe_id(tenant, edge):
                return Peer(check_tenant(tenant), check_edge(edge), serial, not_after_ms)
            case ["spiffe:", "", _, "tenant", tenant, "operator", operator] if spiffe == operator_spiffe_id(
                tenant, operator
            ):
                return OperatorPeer(check_tenant(tenant), check_operator(operator), serial, not_after_ms)
    except InvalidName as error:
        raise CertificateUnknown("it names somebody who cannot be") from error
    raise CertificateUnknown("it names nobody of this hub")


def serial_text(serial: int) -> str:
    """A serial number as the store keeps it."""
    return f"{serial:x}"
