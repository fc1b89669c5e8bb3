"""Whose signature on a courier file is believed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from anabranch_sync.errors import ParcelForged
from anabranch_sync.ids import START
from anabranch_sync.parcel import EXPORT_BYTES, Letter, encode_letter, opened, signed_bytes, wrapped
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LETTER = Letter(False, "acme", "one", bytes(EXPORT_BYTES), b"", 0, 1, 1, START, START, (b"a frame",))
BODY = encode_letter(LETTER)


@dataclass
class Holder:
    """Who has a key and a certificate for it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issued(self, name: str, *, may_issue: bool = False, from_day: int = -1, to_day: int = 1) -> "Holder":
        """A holder whom this one has certified, whether it might or not."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Holder(
            key, _certificate(name, key, self.certificate.subject, self.key, may_issue, from_day, to_day)
        )

    def file(self, *between: "Holder") -> bytes:
        """A courier file that this one has signed, with the certificates from its own up."""
        chain = tuple(each.certificate.public_bytes(Encoding.DER) for each in (self, *between))
        return wrapped(BODY, chain, self.key.sign(signed_bytes(BODY), ec.ECDSA(SHA256())))


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signing: ec.EllipticCurvePrivateKey,
    may_issue: bool,
    from_day: int,
    to_day: int,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + from_day * DAY)
        .not_valid_after(NOW + to_day * DAY)
        .add_extension(x509.BasicConstraints(ca=may_issue, path_length=None), critical=True)
        .sign(signing, SHA256())
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def new_root() -> Holder:
    key = ec.generate_private_key(ec.SECP256R1())
    return Holder(key, _certificate("the root", key, _name("the root"), key, True, -9, 9))


ROOT = new_root()


def read(raw: bytes) -> Letter:
    return opened(raw, ROOT.certificate, int(NOW.timestamp() * 1000)).letter


def test_a_file_is_believed_whose_certificate_leads_to_the_root() -> None:
    between = ROOT.issued("between", may_issue=True)

    assert read(ROOT.issued("one").file()) == LETTER
    assert read(between.issued("one").file(between)) == LETTER


def test_a_certificate_of_another_root_of_the_same_name_is_refused() -> None:
    with pytest.raises(ParcelForged, match="not of this hub's root"):
        read(new_root().issued("one").file())


def test_an_edge_cannot_certify_another() -> None:
    mallory = ROOT.issued("mallory")

    with pytest.raises(ParcelForged, match="may sign no other"):
        read(mallory.issued("one").file(mallory))


@pytest.mark.parametrize(
    ("days", "reason"), [((-3, -1), "ended on 2025-12-31"), ((1, 3), "is not yet valid")]
)
def test_a_certificate_is_good_for_its_days(days: tuple[int, int], reason: str) -> None:
    begun, ended = days

    with pytest.raises(ParcelForged, match=reason):
        read(ROOT.issued("one", from_day=begun, to_day=ended).file())


def test_a_signature_of_another_key_is_refused() -> None:
    one, other = ROOT.issued("one"), ROOT.issued("other")

    with pytest.raises(ParcelForged, match="not that of its content"):
        read(Holder(other.key, one.certificate).file())
