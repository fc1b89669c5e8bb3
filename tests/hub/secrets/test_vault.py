"""Vault signs with keys that it keeps, and says plainly why not."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket

import pytest
from anabranch_hub.errors import VaultDenied, VaultMissing, VaultUnavailable
from anabranch_hub.secrets import vault as vault_module
from anabranch_hub.secrets.authority import Authority
from anabranch_hub.secrets.vault import AppRole, Token, Vault, VaultAccess
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .conftest import Play


def test_a_key_that_was_never_made_is_missing(play: Play[object]) -> None:
    async def scenario(vault: Vault, _: Authority) -> None:
        with pytest.raises(VaultMissing, match="tests-nothing-here"):
            await vault.public_key("tests-nothing-here")

    play(scenario)


def test_a_key_that_is_made_again_stays_the_same(play: Play[object]) -> None:
    async def scenario(vault: Vault, _: Authority) -> None:
        await vault.create_key("tests-again")
        public_key = await vault.public_key("tests-again")
        await vault.create_key("tests-again")
        assert await vault.public_key("tests-again") == public_key

    play(scenario)


def test_a_signature_is_checked_without_vault(play: Play[object]) -> None:
    async def scenario(vault: Vault, _: Authority) -> None:
        await vault.create_key("tests-ledger")
        signature = await vault.sign("tests-ledger", b"tree head")
        public_key = Ed25519PublicKey.from_public_bytes(await vault.public_key("tests-ledger"))
        public_key.verify(signature, b"tree head")
        with pytest.raises(InvalidSignature):
            public_key.verify(signature, b"another tree head")

    play(scenario)


def test_the_hub_may_do_nothing_beyond_its_engines(play: Play[object]) -> None:
    async def scenario(vault: Vault, _: Authority) -> None:
        for method, path in (
            ("GET", "sys/policies/acl/anabranch-hub"),
            ("POST", "sys/policies/acl/anabranch-hub"),
            ("POST", "auth/token/create"),
            ("GET", "auth/approle/role/hub"),
            ("POST", "sys/mounts/other"),
            ("DELETE", "sys/mounts/anabranch-pki"),
            ("DELETE", "anabranch-transit/keys/tests-acme"),
            ("POST", "sys/seal"),
            ("GET", "sys/raw/core/seal-config"),
        ):
            with pytest.raises((VaultDenied, VaultMissing)):
                await vault._call(method, path, {} if method == "POST" else None)

    play(scenario)


def test_wrong_credentials_are_denied_and_not_shown(vault_access: VaultAccess) -> None:
    async def scenario(credentials: AppRole | Token) -> None:
        async with Vault(VaultAccess(vault_access.address, credentials)) as vault:
            await vault.public_key("tests-any")

    assert isinstance(vault_access.credentials, AppRole)
    for wrong in (AppRole(vault_access.credentials.role_id, "guessed"), Token("s.guessed")):
        assert "guessed" not in repr(wrong)
        with pytest.raises(VaultDenied) as refusal:
            asyncio.run(scenario(wrong))
        assert "guessed" not in str(refusal.value)


def test_a_given_token_serves_until_it_is_revoked(vault_access: VaultAccess) -> None:
    async def scenario() -> None:
        async with Vault(vault_access) as lender:
            await lender.log_in()
            assert lender._token is not None
            async with Vault(VaultAccess(vault_access.address, Token(lender._token))) as vault:
                await vault.ensure_transit()
                await vault.create_key("tests-token")
                await lender._call("POST", "auth/token/revoke-self")
                with pytest.raises(VaultDenied):
                    await vault.public_key("tests-token")

    asyncio.run(scenario())


def test_an_ended_login_is_renewed_without_the_caller_noticing(play: Play[object]) -> None:
    async def scenario(vault: Vault, _: Authority) -> None:
        await vault.create_key("tests-login")
        key = await vault.public_key("tests-login")
        await vault._call("POST", "auth/token/revoke-self")
        reads = await asyncio.gather(*(vault.public_key("tests-login") for _ in range(5)))
        assert reads == [key] * 5

    play(scenario)


def test_a_vault_that_is_away_is_waited_for_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "RETRY_S_MAX", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"

        async def scenario() -> None:
            async with Vault(VaultAccess(address, Token("s.any"))) as vault:
                await vault.public_key("a")

        with pytest.raises(VaultUnavailable, match=address):
            asyncio.run(scenario())


def test_something_else_at_the_address_of_vault_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "RETRY_S_MAX", 0.3)

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
            address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with Vault(VaultAccess(address, Token("s.any"))) as vault:
                await vault.public_key("a")

    with pytest.raises(VaultUnavailable, match="something else than Vault answers there"):
        asyncio.run(scenario())


def test_no_log_line_holds_a_secret(play: Play[object], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scenario(vault: Vault, _: Authority) -> str:
        await vault.create_key("tests-logged")
        await vault.sign("tests-logged", b"canary-in-body")
        assert vault._token is not None
        return vault._token

    token = str(play(scenario))
    shown = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert base64.b64encode(b"canary-in-body").decode() not in shown  # as it travels
    assert token not in shown
