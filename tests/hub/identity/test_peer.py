"""Who a certificate names."""

import datetime

import pytest
from anabranch_hub.errors import CertificateUnknown
from anabranch_hub.identity.peer import (
    OperatorPeer,
    Peer,
    operator_of,
    operator_of_certificate,
    peer_of,
    peer_of_certificate,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

KEY = ec.generate_private_key(ec.SECP256R1())
END = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def certificate(*names: x509.GeneralName) -> x509.Certificate:
    subject = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(KEY.public_key()).serial_number(0xABC)
    builder = builder.not_valid_before(END - datetime.timedelta(days=9)).not_valid_after(END)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256())


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def test_tenant_edge_serial_and_end_come_from_the_certificate() -> None:
    # given
    shown = certificate(uri("spiffe://anabranch/tenant/acme/edge/store-17"))
    # then
    expected = Peer("acme", "store-17", "abc", int(END.timestamp() * 1000))
    assert peer_of_certificate(shown) == expected
    assert peer_of({"x509_pem_cert": [shown.public_bytes(Encoding.PEM)]}) == expected


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://anabranch/tenant/acme/edge/",
        "spiffe://anabranch/tenant//edge/one",
        "spiffe://anabranch/tenant/acme/edge/one/more",
        "spiffe://anabranch/tenant/acme/edge/..",
        "spiffe://anabranch/tenant/Acme/edge/one",
        "spiffe://anabranch/tenant/system/edge/one",
        "spiffe://anabranch/edge/one/tenant/acme",
        "spiffe://elsewhere/tenant/acme/edge/one",
        "https://anabranch/tenant/acme/edge/one",
        "spiffe://anabranch/tenant/acme/edge/one?x",
        "spiffe://anabranch/tenant/acme/edge/%6fne",
    ],
)
def test_an_id_that_is_not_exactly_an_edges_names_nobody(text: str) -> None:
    with pytest.raises(CertificateUnknown):
        peer_of_certificate(certificate(uri(text)))


def test_an_operator_is_one_and_no_edge_and_an_edge_is_no_operator() -> None:
    # given
    olga = certificate(uri("spiffe://anabranch/tenant/acme/operator/olga"))
    edge = certificate(uri("spiffe://anabranch/tenant/acme/edge/olga"))
    # then
    expected = OperatorPeer("acme", "olga", "abc", int(END.timestamp() * 1000))
    assert operator_of_certificate(olga) == expected
    assert operator_of({"x509_pem_cert": [olga.public_bytes(Encoding.PEM)]}) == expected
    with pytest.raises(CertificateUnknown, match="it is an operator's"):
        peer_of_certificate(olga)
    with pytest.raises(CertificateUnknown, match=r"it is an edge's.*operator invite"):
        operator_of_certificate(edge)


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://anabranch/tenant/acme/operator/",
        "spiffe://anabranch/tenant/acme/operator/one/more",
        "spiffe://anabranch/tenant/system/operator/one",
        "spiffe://anabranch/tenant/acme/operators/one",
        "spiffe://elsewhere/tenant/acme/operator/one",
    ],
)
def test_an_id_that_is_not_exactly_an_operators_names_nobody(text: str) -> None:
    with pytest.raises(CertificateUnknown):
        operator_of_certificate(certificate(uri(text)))


def test_two_ids_name_nobody() -> None:
    both = [uri(f"spiffe://anabranch/tenant/{tenant}/edge/one") for tenant in ("acme", "other")]
    with pytest.raises(CertificateUnknown, match="one edge"):
        peer_of_certificate(certificate(*both))


def test_a_name_of_another_kind_names_nobody() -> None:
    with pytest.raises(CertificateUnknown):
        peer_of_certificate(certificate(x509.DNSName("spiffe://anabranch/tenant/acme/edge/one")))


def test_without_a_name_or_a_certificate_there_is_nobody() -> None:
    with pytest.raises(CertificateUnknown):
        peer_of_certificate(certificate())
    with pytest.raises(CertificateUnknown):
        peer_of({})
