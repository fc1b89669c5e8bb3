"""A hub that says what it is told to, over real gRPC and TLS, made of nothing but the edge's dependencies."""

import datetime
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from anabranch.identity import Identity, new_key
from anabranch_protos.grpc_settings import settle_grpc
from anabranch_protos.invitation import InvitationToken, new_token
from anabranch_protos.sync.v1 import methods
from anabranch_protos.sync.v1.sync_pb2 import (
    EnrollReply,
    EnrollRequest,
    ExchangeFrame,
    RenewReply,
    RenewRequest,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

settle_grpc()

import grpc  # noqa: E402
from grpc import aio  # noqa: E402

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)
NEVER_MS = 2**50

Exchanging = Callable[[aio.ServicerContext], Awaitable[None]]
Enrolling = Callable[[EnrollRequest, aio.ServicerContext], Awaitable[EnrollReply]]
Renewing = Callable[[RenewRequest, aio.ServicerContext], Awaitable[RenewReply]]


class Root:
    """An authority of the test's own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a root")])
        self.certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def server(self) -> tuple[bytes, bytes]:
        """Key and certificate of a server on loopback."""
        key = ec.generate_private_key(ec.SECP256R1())
        loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = self._builder(x509.Name([]), key.public_key()).add_extension(loopback, critical=False)
        pem = certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), pem

    def certify(self, csr_pem: bytes) -> bytes:
        """A certificate for a request's key."""
        key = x509.load_pem_x509_csr(csr_pem).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey), "a key as edges make it"
        spiffe = x509.UniformResourceIdentifier("spiffe://anabranch/tenant/acme/edge/one")
        builder = self._builder(x509.Name([]), key)
        builder = builder.add_extension(x509.SubjectAlternativeName([spiffe]), critical=True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def identity(self, address: str) -> Identity:
        """An edge of this root."""
        from anabranch.identity import certificate_request

        key_pem = new_key()
        chain_pem = self.certify(certificate_request(key_pem))
        return Identity(address, "acme", "one", key_pem, chain_pem, self.pem, NEVER_MS)

    def token(self) -> InvitationToken:
        return new_token(self.certificate.public_bytes(Encoding.DER))

    def _builder(self, name: x509.Name, key: Any) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)


@dataclass(frozen=True, slots=True)
class ScriptedHub:
    """Where it listens: with client certificates, and without for enrolment."""

    root: Root
    address: str
    enrolment_address: str


@asynccontextmanager
async def scripted_hub(
    *,
    exchange: Exchanging | None = None,
    enroll: Enrolling | None = None,
    renew: Renewing | None = None,
    root: Root | None = None,
) -> AsyncIterator[ScriptedHub]:
    """Serve with these; a method that is not given is not implemented."""
    root = root or Root()
    pair = root.server()
    main, enrolment = aio.server(), aio.server()
    methods_of_main: dict[str, Any] = {}
    if exchange is not None:

        async def exchanged(_: object, context: aio.ServicerContext) -> None:
            await exchange(context)

        methods_of_main["Exchange"] = grpc.stream_stream_rpc_method_handler(
            exchanged, ExchangeFrame.FromString, ExchangeFrame.SerializeToString
        )
    if renew is not None:
        methods_of_main["Renew"] = grpc.unary_unary_rpc_method_handler(
            renew, RenewRequest.FromString, RenewReply.SerializeToString
        )
    methods_of_enrolment: dict[str, Any] = {}
    if enroll is not None:
        methods_of_enrolment["Enroll"] = grpc.unary_unary_rpc_method_handler(
            enroll, EnrollRequest.FromString, EnrollReply.SerializeToString
        )
    service = methods.EXCHANGE.split("/")[1]
    for server, by_name in ((main, methods_of_main), (enrolment, methods_of_enrolment)):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, by_name),))
    mutual = grpc.ssl_server_credentials([pair], root.pem, require_client_auth=True)
    openly = grpc.ssl_server_credentials([(pair[0], pair[1] + root.pem)])
    port = main.add_secure_port("127.0.0.1:0", mutual)
    enrolment_port = enrolment.add_secure_port("127.0.0.1:0", openly)
    await main.start()
    await enrolment.start()
    try:
        yield ScriptedHub(root, f"127.0.0.1:{port}", f"127.0.0.1:{enrolment_port}")
    finally:
        await main.stop(None)
        await enrolment.stop(None)


async def refusing(status: str, details: str, context: aio.ServicerContext) -> None:
    """End a call with this status."""
    await context.abort(getattr(grpc.StatusCode, status), details)
