"""The authority names hubs and edges, and a real mutual TLS handshake believes it."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from anabranch_hub.errors import CertificateRequestRefused, VaultRejected
from anabranch_hub.secrets.authority import (
    EDGE_TTL_S_MAX,
    PKI,
    REQUEST_BYTES_MAX,
    Authority,
    operator_spiffe_id,
    spiffe_id,
)
from anabranch_hub.secrets.vault import Vault
from anabranch_sync.errors import InvalidName
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from .conftest import Play
from .requests import Key, forged_certificate, key_pem, p256_key, request_of

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class WhoAmI(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers with the SPIFFE id the handshake proved."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        async def answer(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return b",".join(context.auth_context().get("peer_spiffe_id", []))

        return grpc.unary_unary_rpc_method_handler(answer)


@asynccontextmanager
async def mutual_tls_server(authority: Authority) -> AsyncIterator[str]:
    """A gRPC server that lets in whom the authority certified; its address."""
    credentials = await authority.server_credentials(["localhost", "127.0.0.1"])
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((WhoAmI(),))
    port = server.add_secure_port(
        "127.0.0.1:0",
        grpc.ssl_server_credentials(
            [(credentials.key_pem, credentials.chain_pem)],
            await authority.root_pem(),
            require_client_auth=True,
        ),
    )
    await server.start()
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop(None)


async def ask(address: str, root_pem: bytes, key: Key | None, chain_pem: bytes | None) -> bytes:
    """Who the server says we are. Raises grpc.aio.AioRpcError when it does not let us in."""
    credentials = grpc.ssl_channel_credentials(root_pem, key_pem(key) if key else None, chain_pem)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        return bytes(await channel.unary_unary("/any/method")(b""))


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_an_edge_is_let_in_under_the_name_it_was_given(play: Play[object]) -> None:
    async def scenario(_: Vault, authority: Authority) -> None:
        # given a request that claims to be somebody else
        key = p256_key()
        request = request_of(key, common_name="hub", uri=spiffe_id("globex", "till-1"))
        # when
        chain_pem = await authority.sign_edge(request, "acme", "till-1")
        # then
        signed = certificate(chain_pem)
        names = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.UniformResourceIdentifier("spiffe://anabranch/tenant/acme/edge/till-1")]
        assert not list(signed.subject)
        usages = signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        async with mutual_tls_server(authority) as address:
            answer = await ask(address, await authority.root_pem(), key, chain_pem)
        assert answer == b"spiffe://anabranch/tenant/acme/edge/till-1"

    play(scenario)


def test_nobody_is_let_in_without_a_certificate_of_this_authority(play: Play[object]) -> None:
    async def scenario(_: Vault, authority: Authority) -> None:
        # given a certificate signed by a stranger in the authority's name
        root_pem = await authority.root_pem()
        stranger = p256_key()
        forged = forged_certificate(stranger, certificate(root_pem), spiffe_id("acme", "till-1"))
        # and one made for a server
        server = await authority.server_credentials(["localhost"])
        async with mutual_tls_server(authority) as address:
            for key, chain_pem in ((None, None), (stranger, forged)):
                with pytest.raises(grpc.aio.AioRpcError) as refusal:
                    await ask(address, root_pem, key, chain_pem)
                assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
            credentials = grpc.ssl_channel_credentials(root_pem, server.key_pem, server.chain_pem)
            async with grpc.aio.secure_channel(address, credentials) as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await channel.unary_unary("/any/method")(b"")

    play(scenario)


def test_an_edge_cannot_pose_as_a_hub(play: Play[object]) -> None:
    async def scenario(_: Vault, authority: Authority) -> None:
        key = p256_key()
        chain_pem = await authority.sign_edge(request_of(key, common_name="localhost"), "acme", "till-1")
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((WhoAmI(),))
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key_pem(key), chain_pem)]))
        await server.start()
        try:
            with pytest.raises(grpc.aio.AioRpcError):
                await ask(f"localhost:{port}", await authority.root_pem(), None, None)
        finally:
            await server.stop(None)

    play(scenario)


def test_the_handshake_is_tls_1_3(play: Play[object], tmp_path: Path) -> None:
    def handshake(address: str, root_pem: bytes, key: Key, chain_pem: bytes) -> str | None:
        for name, pem in (("root", root_pem), ("key", key_pem(key)), ("chain", chain_pem)):
            (tmp_path / name).write_bytes(pem)
        context = ssl.create_default_context(cafile=tmp_path / "root")
        context.load_cert_chain(tmp_path / "chain", tmp_path / "key")
        context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        with (
            socket.create_connection((host, int(port))) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            return secured.version()

    async def scenario(_: Vault, authority: Authority) -> None:
        key = p256_key()
        chain_pem = await authority.sign_edge(request_of(key), "acme", "till-1")
        root_pem = await authority.root_pem()
        async with mutual_tls_server(authority) as address:
            assert await asyncio.to_thread(handshake, address, root_pem, key, chain_pem) == "TLSv1.3"

    play(scenario)


def test_a_device_that_wakes_in_1970_can_believe_every_certificate(play: Play[object]) -> None:
    async def scenario(_: Vault, authority: Authority) -> None:
        edge = await authority.sign_edge(request_of(p256_key()), "acme", "till-1")
        server = (await authority.server_credentials(["localhost"])).chain_pem
        for pem in (await authority.root_pem(), server, edge):
            assert certificate(pem).not_valid_before_utc < EPOCH

    play(scenario)


def test_certificates_stay_valid_from_before_1970_however_long_the_hub_runs(play: Play[object]) -> None:
    async def scenario(vault: Vault, _: Authority) -> None:
        # given a hub whose role was written two years ago
        now = datetime.datetime.now(datetime.UTC).timestamp()
        wall_s = [now - 2 * 366 * 86_400]
        authority = Authority(vault, lambda: wall_s[0])
        await authority.sign_edge(request_of(p256_key()), "acme", "till-1")
        # when
        wall_s[0] = now
        chain_pem = await authority.sign_edge(request_of(p256_key()), "acme", "till-1")
        # then
        assert certificate(chain_pem).not_valid_before_utc < EPOCH

    play(scenario)


def test_the_root_is_made_once(play: Play[object]) -> None:
    async def scenario(vault: Vault, authority: Authority) -> None:
        before = await authority.root_pem()
        await Authority(vault).ensure()
        assert await authority.root_pem() == before
        root = certificate(before)
        assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca

    play(scenario)


def test_an_edge_certificate_lasts_as_long_as_asked_and_a_year_at_most(play: Play[object]) -> None:
    async def scenario(_: Vault, authority: Authority) -> None:
        for asked_s, given_s in ((3600, 3600), (EDGE_TTL_S_MAX * 5, EDGE_TTL_S_MAX)):
            chain_pem = await authority.sign_edge(request_of(p256_key()), "acme", "till-1", asked_s)
            left = certificate(chain_pem).not_valid_after_utc - datetime.datetime.now(datetime.UTC)
            assert abs(left.total_seconds() - given_s) < 120

    play(scenario)


def test_a_tenants_role_signs_no_other_tenants_name(play: Play[object]) -> None:
    async def scenario(vault: Vault, authority: Authority) -> None:
        await authority.sign_edge(request_of(p256_key()), "acme", "till-1")
        for foreign in (
            spiffe_id("globex", "till-1"),
            spiffe_id("acme2", "till-1"),
            "spiffe://anabranch/hub",
            "spiffe://elsewhere/tenant/acme/edge/till-1",
        ):
            request = {"csr": request_of(p256_key()).decode(), "uri_sans": foreign, "ttl": "60s"}
            with pytest.raises(VaultRejected):
                await vault.sign_csr(PKI, "edge-acme", request)

    play(scenario)


def test_an_operator_is_certified_under_a_role_that_signs_for_no_edge_and_no_other_tenant(
    play: Play[object],
) -> None:
    async def scenario(vault: Vault, authority: Authority) -> None:
        # when
        signed = certificate(await authority.sign_operator(request_of(p256_key()), "acme", "olga", 3_600))
        await authority.sign_edge(request_of(p256_key()), "acme", "till-1")
        # then
        names = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.UniformResourceIdentifier("spiffe://anabranch/tenant/acme/operator/olga")]
        usages = signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        left = signed.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        assert abs(left.total_seconds() - 3_600) < 120
        for role, foreign in (
            ("operator-acme", spiffe_id("acme", "till-1")),
            ("operator-acme", operator_spiffe_id("globex", "olga")),
            ("edge-acme", operator_spiffe_id("acme", "olga")),
        ):
            request = {"csr": request_of(p256_key()).decode(), "uri_sans": foreign, "ttl": "60s"}
            with pytest.raises(VaultRejected):
                await vault.sign_csr(PKI, role, request)
        with pytest.raises(InvalidName):
            await authority.sign_operator(request_of(p256_key()), "acme", "*")

    play(scenario)


@pytest.mark.parametrize(
    ("tenant", "edge"),
    [
        ("acme/edge/x", "till"),
        ("*", "till"),
        ("", "till"),
        ("acme", "a/b"),
        ("acme", "*"),
        ("acme", ".."),
        ("acme", ""),
    ],
)
def test_a_name_that_could_reach_further_is_never_signed(play: Play[object], tenant: str, edge: str) -> None:
    async def scenario(_: Vault, authority: Authority) -> None:
        with pytest.raises(InvalidName):
            await authority.sign_edge(request_of(p256_key()), tenant, edge)

    play(scenario)


def tampered_request() -> bytes:
    """A request that was changed after it was signed."""
    signed = x509.load_pem_x509_csr(request_of(p256_key(), common_name="aaaa")).public_bytes(Encoding.DER)
    return x509.load_der_x509_csr(signed.replace(b"aaaa", b"bbbb")).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("request_pem", "why"),
    [
        (b"", "not a PEM certificate request"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "not a PEM"),
        (key_pem(p256_key()), "not a PEM"),
        (request_of(ed25519.Ed25519PrivateKey.generate()), "P-256"),
        (request_of(rsa.generate_private_key(65537, 2048)), "P-256"),
        (request_of(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (
            request_of(p256_key(), common_name="x" * 64) + b"\n" * REQUEST_BYTES_MAX,
            f"limit {REQUEST_BYTES_MAX}",
        ),
        (tampered_request(), "not signed by the key"),
    ],
)
def test_a_request_that_proves_nothing_is_refused(play: Play[object], request_pem: bytes, why: str) -> None:
    async def scenario(_: Vault, authority: Authority) -> None:
        with pytest.raises(CertificateRequestRefused, match=why):
            await authority.sign_edge(request_pem, "acme", "till-1")

    play(scenario)


def test_a_key_is_not_shown_by_accident(play: Play[object]) -> None:
    async def scenario(_: Vault, authority: Authority) -> None:
        assert "PRIVATE KEY" not in repr(await authority.server_credentials(["localhost"]))

    play(scenario)
