"""The one module that speaks to Vault (or OpenBao: the same HTTP API).

    async with Vault(access) as vault:
        signature = await vault.sign("anabranch-log-acme", note)

Every call is safe to repeat, so lost connections, a sealed or restarting Vault are retried for RETRY_S_MAX;
after that VaultUnavailable. A refused token is replaced by logging in again, once. VaultDenied, VaultMissing
and VaultRejected are final. Nothing here logs a body, a token or a key.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import stamina

from anabranch_hub.errors import VaultDenied, VaultMissing, VaultRejected, VaultUnavailable

log = logging.getLogger(__name__)

# Every retry would be a line with the library's own field names; the last one's error says it all.
stamina.instrumentation.set_on_retry_hooks([])

# Engines the hub mounts for itself; the prefix is all that its policy opens.
MOUNT_PREFIX = "anabranch-"
TRANSIT = MOUNT_PREFIX + "transit"

# OpenBao unseals itself within 2 s of a restart, and the supervisor restarts it within a few.
RETRY_S_MAX = 15.0
RETRY_WAIT_FIRST_S = 0.05
RETRY_WAIT_MAX_S = 1.0

# A signature takes milliseconds; a Vault that needs longer than this is away.
REQUEST_S_MAX = 10.0
# Of what Vault says of a refusal: enough for one line of a log.
REASON_CHARS_MAX = 200

# Renew after two thirds of the lease: a Vault that is away for the last third is not noticed.
RENEW_FRACTION = 2 / 3
RENEW_RETRY_S = 5.0

# What the hub may do. An external Vault's operator writes it under the name `anabranch-hub`; the embedded
# OpenBao gets it at its first start. No delete: keys and authorities outlive any mistake of the hub's.
POLICY = f"""
path "sys/mounts/{MOUNT_PREFIX}*" {{ capabilities = ["create", "read", "update"] }}
path "{MOUNT_PREFIX}pki/*"        {{ capabilities = ["create", "read", "update", "list"] }}
path "{TRANSIT}/*"                {{ capabilities = ["create", "read", "update", "list"] }}
path "auth/token/lookup-self"     {{ capabilities = ["read"] }}
path "auth/token/renew-self"      {{ capabilities = ["update"] }}
path "auth/token/revoke-self"     {{ capabilities = ["update"] }}
""".strip()


@dataclass(frozen=True, slots=True)
class AppRole:
    """Credentials that log in again whenever needed."""

    role_id: str
    secret_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A token given by an operator: renewed while Vault allows it, then at its end."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VaultAccess:
    """Where Vault is and as whom to ask; `ca_file` holds the roots for an https address of a private CA."""

    address: str
    credentials: AppRole | Token
    ca_file: Path | None = None


class _Away(Exception):
    """Vault answered that it cannot answer now."""


class Vault:
    """An asynchronous client; enter it once per process and share it."""

    def __init__(self, access: VaultAccess, attempts_max: int | None = None) -> None:
        self._access = access
        self._attempts_max = attempts_max
        self._http = httpx.AsyncClient(
            base_url=access.address.rstrip("/") + "/v1/",
            timeout=REQUEST_S_MAX,
            verify=ssl.create_default_context(cafile=access.ca_file),
            trust_env=False,  # a proxy from the environment has no business between hub and Vault
        )
        self._token: str | None = None
        self._lease_s = 0.0
        self._login = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        return self._access.address

    async def __aenter__(self) -> Vault:
        """Keep the token alive from here on. Does not connect: the first call does."""
        self._renewal = asyncio.create_task(self._renew_for_ever(), name="vault token renewal")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._renewal
        if self._token is not None and isinstance(self._access.credentials, AppRole):
            # A token nobody needs any more; if Vault is away it ends by itself within its lease.
            with contextlib.suppress(httpx.TransportError):
                await self._http.post("auth/token/revoke-self", headers={"X-Vault-Token": self._token})
        await self._http.aclose()

    # -- transit: keys that never leave Vault

    async def create_key(self, name: str) -> None:
        """Make the Ed25519 key `name`, to sign with; nothing when it exists."""
        await self._call("POST", f"{TRANSIT}/keys/{name}", {"type": "ed25519"})

    async def sign(self, key: str, message: bytes) -> bytes:
        """The raw 64-byte Ed25519 signature of `message` by the key's latest version."""
        reply = await self._call("POST", f"{TRANSIT}/sign/{key}", {"input": _base64(message)})
        return base64.b64decode(reply["signature"].rpartition(":")[2])

    async def public_key(self, key: str) -> bytes:
        """The raw 32-byte Ed25519 public key of the key's latest version."""
        reply = await self._call("GET", f"{TRANSIT}/keys/{key}")
        return base64.b64decode(reply["keys"][str(reply["latest_version"])]["public_key"])

    # -- certificates

    async def ensure_authority(self, mount: str, root: Mapping[str, object]) -> None:
        """Mount a PKI engine at `mount` and make its root from `root` (Vault's parameters) if it has none.

        Two hubs that do this at once make two roots; the first stays the default, for both of them.
        """
        await self.ensure_mount(mount, "pki", {"max_lease_ttl": str(root["ttl"])})
        issuers = await self._call("GET", f"{mount}/config/issuers")
        if not issuers["default"]:
            await self._call("POST", f"{mount}/root/generate/internal", root)

    async def ca_certificate(self, mount: str) -> str:
        """The root of the engine at `mount` in PEM, below any intermediates an operator put there."""
        reply = await self._call("GET", f"{mount}/cert/ca_chain")
        chain: str = reply["ca_chain"]
        return chain

    async def write_role(self, mount: str, role: str, rules: Mapping[str, object]) -> None:
        """Say what certificates `role` may sign; replaces the rules before."""
        await self._call("POST", f"{mount}/roles/{role}", rules)

    async def sign_csr(self, mount: str, role: str, request: Mapping[str, object]) -> list[str]:
        """Sign a certificate request (Vault's parameters) under `role`.

        Returns PEM, the certificate first, then its issuers up to the root.
        """
        reply = await self._call("POST", f"{mount}/sign/{role}", request)
        return [reply["certificate"], *(reply.get("ca_chain") or [reply["issuing_ca"]])]

    # -- the connection

    async def ensure_mount(self, mount: str, kind: str, config: Mapping[str, str] | None = None) -> None:
        """Mount an engine; nothing when the path is taken.

        An operator may keep mounting to himself: a refusal is left to the first use of the engine to tell.
        """
        try:
            await self._call("GET", f"sys/mounts/{mount}")
        except (VaultRejected, VaultMissing):  # what Vault says of a free path
            await self._call("POST", f"sys/mounts/{mount}", {"type": kind, "config": config or {}})
        except VaultDenied:
            log.info("mounting left to the operator", extra={"mount": mount})

    async def ensure_transit(self) -> None:
        """Mount transit, so that the first tenant finds it."""
        await self.ensure_mount(TRANSIT, "transit")

    async def log_in(self) -> None:
        """Get a token (AppRole) or prove the one given, and learn how long it lasts."""
        match self._access.credentials:
            case AppRole(role_id, secret_id):
                body = {"role_id": role_id, "secret_id": secret_id}
                try:
                    reply = await self._exchange("POST", "auth/approle/login", body, token=None)
                except VaultRejected as error:  # what Vault calls a login that it does not know
                    raise VaultDenied("the hub's AppRole", error.status, error.reason) from error
                self._token, self._lease_s = reply["auth"]["client_token"], reply["auth"]["lease_duration"]
            case Token(token):
                reply = await self._exchange("GET", "auth/token/lookup-self", None, token=token)
                self._token, self._lease_s = token, reply["data"]["ttl"]

    async def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Ask, with a token, and return the reply's data; see the module's first lines for errors."""
        token = await self._current_token(refused=None)
        try:
            reply = await self._exchange(method, path, body, token=token)
        except VaultDenied:
            if isinstance(self._access.credentials, Token):
                raise
            token = await self._current_token(refused=token)
            reply = await self._exchange(method, path, body, token=token)
        return reply.get("data") or {}

    async def _current_token(self, *, refused: str | None) -> str:
        """The token in use, or a new one when there is none or it is the refused one."""
        async with self._login:
            if self._token is None or self._token == refused:
                await self.log_in()
            assert self._token is not None, "log_in sets the token"
            return self._token

    async def _exchange(
        self, method: str, path: str, body: Mapping[str, object] | None, *, token: str | None
    ) -> dict[str, Any]:
        """One request and its reply, repeated while Vault is away."""
        headers = {"X-Vault-Token": token} if token is not None else {}
        try:
            async for attempt in stamina.retry_context(
                on=(httpx.TransportError, _Away),
                attempts=self._attempts_max,
                timeout=RETRY_S_MAX,
                wait_initial=RETRY_WAIT_FIRST_S,
                wait_max=RETRY_WAIT_MAX_S,
                wait_jitter=RETRY_WAIT_FIRST_S,
            ):
                with attempt:
                    reply = await self._http.request(method, path, json=body, headers=headers)
                    return _judged(reply, f"{method} {path}")
        except httpx.TransportError as error:
            raise VaultUnavailable(self.address, str(error) or type(error).__name__) from error
        except _Away as error:
            raise VaultUnavailable(self.address, str(error)) from error
        raise AssertionError("stamina ends with a result or an error")

    async def _renew_for_ever(self) -> None:
        """Renew the token in time; an AppRole whose token ended anyway logs in at the next call."""
        while True:
            if self._token is None or self._lease_s == 0:  # not yet logged in, or a token without end
                await asyncio.sleep(RENEW_RETRY_S)
                continue
            await asyncio.sleep(self._lease_s * RENEW_FRACTION)
            try:
                reply = await self._exchange("POST", "auth/token/renew-self", {}, token=self._token)
                self._lease_s = reply["auth"]["lease_duration"]
            except VaultUnavailable:
                log.warning("vault token not renewed", extra={"reason": "unavailable"})
                self._lease_s = min(self._lease_s, RENEW_RETRY_S)
            except (VaultDenied, VaultRejected) as error:
                log.warning("vault token not renewed", extra={"reason": error.reason})
                self._token = None


def _judged(reply: httpx.Response, action: str) -> dict[str, Any]:
    """The reply's body, or the error its status stands for."""
    if reply.is_success:
        try:
            return dict(reply.json()) if reply.content else {}
        except ValueError:
            raise _Away("something else than Vault answers there") from None
    reason = _reason(reply)
    if reply.status_code in (412, 429) or reply.status_code >= 500:
        raise _Away(f"{reply.status_code}: {reason}")
    if reply.status_code in (401, 403):
        raise VaultDenied(action, reply.status_code, reason)
    if reply.status_code == 404:
        raise VaultMissing(action.partition(" ")[2])
    raise VaultRejected(action, reply.status_code, reason)


def _reason(reply: httpx.Response) -> str:
    """Vault's own words on one bounded line."""
    try:
        errors = reply.json().get("errors") or []
    except ValueError:
        errors = []
    words = " ".join("; ".join(str(error) for error in errors).split())
    return words[:REASON_CHARS_MAX] or reply.reason_phrase


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
