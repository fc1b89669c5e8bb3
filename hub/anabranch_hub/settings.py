"""What an operator says about a hub, parsed once: options and environment in, frozen `Settings` out.

Secrets come from the environment or from files, never from the command line, where every user of the
machine can read them: wherever a secret is expected, ``@FILE`` names the file that holds it.

::

    ANABRANCH_HUB_DATA                                       the data directory
    ANABRANCH_POSTGRES                                       a connection string, or @FILE
    ANABRANCH_VAULT                                          the address of Vault
    ANABRANCH_VAULT_TOKEN                                    a token, or @FILE
    ANABRANCH_VAULT_ROLE_ID, ANABRANCH_VAULT_SECRET_ID       an AppRole instead, each also as @FILE
    ANABRANCH_VAULT_CA                                       roots of a private CA in front of Vault
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from anabranch_protos.invitation import PORT_MAX
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from anabranch_hub.errors import SettingRefused
from anabranch_hub.operations.logs import LogFormat
from anabranch_hub.store.trimming import KEEP_DAYS

if TYPE_CHECKING:  # Vault's client takes as long to import as all else; only `serve` has a use for it
    from anabranch_hub.secrets.vault import AppRole, Token, VaultAccess

DATA_DIR_VARIABLE = "ANABRANCH_HUB_DATA"
POSTGRES_VARIABLE = "ANABRANCH_POSTGRES"
VAULT_VARIABLE = "ANABRANCH_VAULT"

# Loopback until the operator says otherwise: a hub tried out on a laptop is nobody else's business.
LISTEN_DEFAULT = "127.0.0.1:7443"
HEALTH_DEFAULT = "127.0.0.1:7480"

# A connection string with every option spelled out has some 500 characters; a certificate chain is not one.
SECRET_BYTES_MAX = 8_192
# A TLS certificate names the hub as edges call it; more than a few names is a list of something else.
HOST_NAMES_MAX = 32

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*")
# `password=` in both forms of a connection string, as an option of its own.
_PASSWORD_OPTION = re.compile(r"(^|[\s?&])(ssl)?password\s*=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address, and a port; port 0 takes any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class External:
    """Servers that the operator runs."""

    postgres_dsn: str = field(repr=False)
    vault: VaultAccess


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What a hub does by itself beside folding. `trim_after_days` None: it does not trim."""

    trim_after_days: int | None = KEEP_DAYS
    collects: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """One hub process. Without `external` it brings its own Postgres and OpenBao below `data_dir`.

    Edges exchange at `listen` and enrol at `enrol`, on the same host, which asks for no certificate.
    `restored_by` says who declares that its tables came from a backup, before it serves; empty: nobody does.
    `host_names` are the names and addresses edges may call it by. Without `health` there is no health port.
    """

    data_dir: Path
    listen: Address
    enrol: Address
    health: Address | None
    host_names: tuple[str, ...]
    external: External | None
    log_format: LogFormat
    verbose: bool
    restored_by: str = ""
    upkeep: Upkeep = Upkeep()


def parse_address(text: str) -> Address:
    """The address in HOST:PORT, IPv6 hosts in brackets. Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host:
        raise ValueError(f"{text!a} is not HOST:PORT, as in 127.0.0.1:7443 or [::]:7443")
    if not (port.isascii() and port.isdecimal() and int(port[:6]) <= PORT_MAX):
        raise ValueError(f"port {port!a} is not a number from 0 to {PORT_MAX}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{host!a} in brackets is not an IPv6 address") from None
    else:
        _checked_host(host)
    return Address(host, int(port))


def _checked_host(host: str) -> str:
    if len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{host[:80]!a} is neither a host name nor an IP address (IPv6: in brackets)")
    return host


def _checked_name(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return _checked_host(name)


def _address(given: object) -> object:
    return parse_address(given) if isinstance(given, str) else given


def _health(given: object) -> object:
    return None if given == "off" else _address(given)


def _host_names(given: tuple[str, ...]) -> tuple[str, ...]:
    if len(given) > HOST_NAMES_MAX:
        raise ValueError(f"{len(given)} names, limit {HOST_NAMES_MAX}")
    return tuple(_checked_name(name) for name in given)


class _Given(BaseModel):
    """`serve` as it was called. Field names are the options'."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)

    data_dir: Path
    listen: Annotated[Address, BeforeValidator(_address)]
    enrol_port: int | None
    health: Annotated[Address | None, BeforeValidator(_health)]
    host_name: Annotated[tuple[str, ...], BeforeValidator(_host_names)]
    postgres: str | None
    vault: str | None
    log_format: LogFormat
    verbose: bool
    restored_by: str = ""
    trim_after: int = KEEP_DAYS
    no_trim: bool = False
    no_collect: bool = False


def settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """The settings of `serve`, given its options by name. Raises SettingRefused, DataDirError."""
    try:
        parsed = _Given.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        setting = "--" + str(first["loc"][0]).replace("_", "-")
        cause = first.get("ctx", {}).get("error")
        raise SettingRefused(setting, str(cause) if cause is not None else first["msg"]) from None
    enrol = _enrol(parsed.listen, parsed.enrol_port)
    if parsed.health is not None and parsed.health.port and parsed.health in (parsed.listen, enrol):
        raise SettingRefused("--health", f"{parsed.health} is where edges come: name another port")
    return Settings(
        data_dir=parsed.data_dir.absolute(),
        listen=parsed.listen,
        enrol=enrol,
        health=parsed.health,
        host_names=parsed.host_name or host_names(parsed.listen),
        external=_external(parsed.postgres, parsed.vault, environment),
        log_format=parsed.log_format,
        verbose=parsed.verbose,
        restored_by=parsed.restored_by,
        upkeep=Upkeep(None if parsed.no_trim else parsed.trim_after, not parsed.no_collect),
    )


def _enrol(listen: Address, port: int | None) -> Address:
    """Where new edges come: by default at the port after, where they look when an invitation names none."""
    if port and port == listen.port:
        raise SettingRefused("--enrol-port", f"{port} is where edges exchange: name another port")
    if port is None:
        if listen.port == PORT_MAX:
            raise SettingRefused(
                "--listen", f"port {PORT_MAX} has none after it to enrol at: say --enrol-port"
            )
        port = listen.port + 1 if listen.port else 0
    return Address(listen.host, port)


def host_names(listen: Address) -> tuple[str, ...]:
    """How edges may call a hub that was given no names: by its address, and by this machine's names."""
    own = (listen.host, "localhost", "127.0.0.1", "::1", socket.gethostname())
    return tuple(dict.fromkeys(name for name in own if _is_name(name)))


def postgres_setting(given: str | None, environment: Mapping[str, str]) -> str | None:
    """The connection string from the option or else the environment; None without either.

    Raises SettingRefused: also for a password in the option itself.
    """
    if given is not None:
        if not given.startswith("@") and _holds_password(given):
            raise SettingRefused(
                "--postgres",
                "it holds a password, and every user of this machine can read the arguments of a process: "
                f"say --postgres @FILE with the connection string in FILE, or set ${POSTGRES_VARIABLE}",
            )
        return _connection_string("--postgres", given)
    named = environment.get(POSTGRES_VARIABLE)
    return _connection_string(f"${POSTGRES_VARIABLE}", named) if named else None


def _external(postgres: str | None, vault: str | None, environment: Mapping[str, str]) -> External | None:
    dsn = postgres_setting(postgres, environment)
    address = vault or environment.get(VAULT_VARIABLE) or None
    if dsn is None and address is None:
        return None
    if dsn is None or address is None:
        missing, present = ("Postgres", "Vault") if dsn is None else ("Vault", "Postgres")
        raise SettingRefused(
            "--vault" if dsn is None else "--postgres",
            f"it names an external {present} without a {missing}: give both, "
            "or neither for embedded servers below the data directory",
        )
    from anabranch_hub.secrets.vault import VaultAccess

    ca_file = environment.get("ANABRANCH_VAULT_CA")
    return External(dsn, VaultAccess(_vault_address(address), _credentials(environment), _ca_file(ca_file)))


def _credentials(environment: Mapping[str, str]) -> AppRole | Token:
    from anabranch_hub.secrets.vault import AppRole, Token

    def secret(name: str) -> str | None:
        given = environment.get(name)
        return _secret(f"${name}", given) if given else None

    token, role_id, secret_id = (
        secret(f"ANABRANCH_VAULT_{name}") for name in ("TOKEN", "ROLE_ID", "SECRET_ID")
    )
    if role_id is not None and secret_id is not None:
        return AppRole(role_id, secret_id)
    if token is not None and role_id is None and secret_id is None:
        return Token(token)
    raise SettingRefused(
        "--vault",
        "the hub needs a login: set $ANABRANCH_VAULT_ROLE_ID and $ANABRANCH_VAULT_SECRET_ID, "
        "or $ANABRANCH_VAULT_TOKEN, each a value or @FILE",
    )


def _vault_address(address: str) -> str:
    try:
        parts = urlsplit(address)
        plain = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port beyond 65535, brackets that do not close
        plain = False
    if not plain or parts.username or parts.query:
        raise SettingRefused("--vault", "it is not a plain http(s)://HOST[:PORT] address")
    return address


def _ca_file(given: str | None) -> Path | None:
    if not given:
        return None
    path = Path(given)
    if not path.is_file():
        raise SettingRefused("$ANABRANCH_VAULT_CA", f"there is no file {given!a}")
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        reason = f"file {given!a} holds no certificates in PEM ({error.strerror or error})"
        raise SettingRefused("$ANABRANCH_VAULT_CA", reason) from error
    return path.absolute()


def _connection_string(setting: str, given: str) -> str:
    dsn = _secret(setting, given)
    if not dsn.startswith(("postgresql://", "postgres://")) and "=" not in dsn:
        raise SettingRefused(
            setting, "it is not a connection string, as in postgresql://hub@db.example.org/anabranch"
        )
    return dsn


def _secret(setting: str, given: str) -> str:
    """The value itself or, for @FILE, that of the file. Never part of an error."""
    if not given.startswith("@"):
        return given
    path = Path(given[1:])
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
        text = content.decode("utf-8").strip()
    except OSError as error:
        raise SettingRefused(setting, f"file {str(path)!a}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise SettingRefused(setting, f"file {str(path)!a} is not UTF-8 text") from None
    if len(content) > SECRET_BYTES_MAX:
        raise SettingRefused(setting, f"file {str(path)!a} is over {SECRET_BYTES_MAX} bytes")
    if not text or not text.isprintable():
        raise SettingRefused(setting, f"file {str(path)!a} does not hold one line of text")
    return text


def _holds_password(dsn: str) -> bool:
    if _PASSWORD_OPTION.search(dsn):
        return True
    authority = dsn.partition("://")[2].partition("/")[0].partition("?")[0]
    return ":" in authority.rpartition("@")[0]


def _is_name(host: str) -> bool:
    try:
        if ipaddress.ip_address(host).is_unspecified:
            return False
    except ValueError:
        pass
    try:
        _checked_name(host)
    except ValueError:
        return False
    return True
