"""The edge at the other end of a connection, from its certificate and from nothing else.

TLS has verified the chain before anything here runs; what is left is to read the name, and to ask the store
whether this very certificate still stands for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import check_edge, check_tenant
from cryptography import x509

from anabranch_hub.errors import CertificateUnknown
from anabranch_hub.secrets.authority import spiffe_id

# gRPC's name for the peer's certificate in PEM.
CERTIFICATE_PROPERTY = "x509_pem_cert"


@dataclass(frozen=True, slots=True)
class Peer:
    """An edge, and the certificate it showed. Times are in milliseconds since 1970."""

    tenant: str
    edge: str
    serial: str
    not_after_ms: int


def peer_of(properties: Mapping[str, Iterable[bytes]]) -> Peer:
    """The peer of a connection with these authentication properties. Raises CertificateUnknown."""
    for pem in properties.get(CERTIFICATE_PROPERTY, ()):
        return peer_of_certificate(x509.load_pem_x509_certificate(pem))
    raise CertificateUnknown("there is none")


def peer_of_certificate(certificate: x509.Certificate) -> Peer:
    """The edge that `certificate` names. Raises CertificateUnknown."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ids = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise CertificateUnknown("it names nobody") from error
    if len(ids) != 1:
        raise CertificateUnknown("it does not name one edge")
    tenant, edge = _named(ids[0])
    not_after_ms = int(certificate.not_valid_after_utc.timestamp() * 1000)
    return Peer(tenant, edge, serial_text(certificate.serial_number), not_after_ms)


def _named(spiffe: str) -> tuple[str, str]:
    match spiffe.split("/"):
        case ["spiffe:", "", _, "tenant", tenant, "edge", edge] if spiffe == spiffe_id(tenant, edge):
            try:
                return check_tenant(tenant), check_edge(edge)
            except InvalidName as error:
                raise CertificateUnknown("it names an edge that cannot be") from error
        case _:
            raise CertificateUnknown("it names something that is no edge of this hub")


def serial_text(serial: int) -> str:
    """A serial number as the store keeps it."""
    return f"{serial:x}"
