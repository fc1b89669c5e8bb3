"""What an operator says about a hub: parsed once, refused in words, secrets never repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from anabranch_hub.errors import SettingRefused
from anabranch_hub.operations.logs import LogFormat
from anabranch_hub.secrets.vault import AppRole, Token
from anabranch_hub.settings import Address, Settings, parse_address, settings

GIVEN: dict[str, Any] = {
    "data_dir": Path("/var/lib/hub"),
    "listen": "127.0.0.1:7443",
    "enrol_port": None,
    "health": "127.0.0.1:7480",
    "host_name": (),
    "postgres": None,
    "vault": None,
    "log_format": "json",
    "verbose": False,
}
LOGIN = {"ANABRANCH_VAULT_ROLE_ID": "role", "ANABRANCH_VAULT_SECRET_ID": "geheim"}


def parsed(environment: dict[str, str] | None = None, **given: Any) -> Settings:
    return settings({**GIVEN, **given}, environment or {})


def test_without_servers_of_ones_own_they_are_embedded() -> None:
    found = parsed()
    assert found.external is None
    assert (found.listen, found.enrol) == (Address("127.0.0.1", 7443), Address("127.0.0.1", 7444))
    assert found.log_format is LogFormat.JSON
    assert {"127.0.0.1", "localhost"} <= set(found.host_names)


def test_any_port_to_listen_on_means_any_port_to_enrol_at() -> None:
    assert parsed(listen="127.0.0.1:0").enrol.port == 0
    assert parsed(listen="127.0.0.1:0", enrol_port=9).enrol.port == 9


def test_the_health_port_can_be_off() -> None:
    assert parsed(health="off").health is None


def test_secrets_come_from_the_environment_or_from_files(tmp_path: Path) -> None:
    # given
    for name, secret in (("dsn", "postgresql://hub:geheim@db/x"), ("token", "t-geheim")):
        (tmp_path / name).write_text(secret + "\n")

    # when
    by_role = parsed({**LOGIN, "ANABRANCH_POSTGRES": f"@{tmp_path / 'dsn'}"}, vault="https://vault:8200")
    by_token = parsed(
        {"ANABRANCH_VAULT_TOKEN": f"@{tmp_path / 'token'}", "ANABRANCH_VAULT": "https://vault:8200"},
        postgres=f"@{tmp_path / 'dsn'}",
    )

    # then
    assert by_role.external is not None
    assert by_token.external is not None
    assert by_role.external.postgres_dsn == by_token.external.postgres_dsn == "postgresql://hub:geheim@db/x"
    assert by_role.external.vault.credentials == AppRole("role", "geheim")
    assert by_token.external.vault.credentials == Token("t-geheim")
    assert "geheim" not in repr(by_role) + repr(by_token)


def test_a_connection_string_without_a_password_may_stand_on_the_command_line() -> None:
    found = parsed(LOGIN, postgres="postgresql://hub@db.example.org/x?sslmode=verify-full", vault="http://v")
    assert found.external is not None


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://hub:geheim@db/x",
        "postgres://hub:geheim@db",
        "postgresql://hub@db/x?password=geheim",
        "postgresql://hub@db/x?sslmode=require&password=geheim",
        "host=db password=geheim",
        "host=db  PASSWORD = 'geheim'",
    ],
)
def test_a_password_among_the_arguments_is_refused_and_not_repeated(dsn: str) -> None:
    with pytest.raises(SettingRefused, match="@FILE") as caught:
        parsed(LOGIN, postgres=dsn, vault="http://vault")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "environment", "said"),
    [
        ({"postgres": "postgresql://hub@db/x"}, LOGIN, "without a Vault"),
        ({"vault": "http://vault"}, LOGIN, "without a Postgres"),
        ({"vault": "vault:8200", "postgres": "host=db"}, LOGIN, "http(s)://HOST"),
        ({"vault": "http://u:p@vault", "postgres": "host=db"}, LOGIN, "http(s)://HOST"),
        ({"vault": "http://vault:99999", "postgres": "host=db"}, LOGIN, "http(s)://HOST"),
        ({"vault": "http://[::1", "postgres": "host=db"}, LOGIN, "http(s)://HOST"),
        ({"vault": "http://vault", "postgres": "host=db"}, {}, "needs a login"),
        (
            {"vault": "http://vault", "postgres": "host=db"},
            {**LOGIN, "ANABRANCH_VAULT_CA": "/nowhere"},
            "/nowhere",
        ),
        (
            {"vault": "http://vault", "postgres": "host=db"},
            {**LOGIN, "ANABRANCH_VAULT_CA": __file__},
            "holds no certificates in PEM",
        ),
        ({"postgres": "@/nowhere/dsn", "vault": "http://vault"}, LOGIN, "/nowhere/dsn"),
        ({"postgres": "db.example.org", "vault": "http://vault"}, LOGIN, "not a connection string"),
        ({"listen": "7443"}, {}, "is not HOST:PORT"),
        ({"listen": ":7443"}, {}, "is not HOST:PORT"),
        ({"listen": "::1:7443"}, {}, "IPv6: in brackets"),
        ({"listen": "[::x]:7443"}, {}, "not an IPv6 address"),
        ({"listen": "host:65536"}, {}, "from 0 to 65535"),
        ({"listen": "host:٣"}, {}, "from 0 to 65535"),
        ({"listen": "host:65535"}, {}, "--enrol-port"),
        ({"listen": "a\x1b[2J:1"}, {}, "\\x1b[2J"),
        ({"health": "no"}, {}, "--health is refused"),
        ({"listen": "host:7443", "enrol_port": 7443}, {}, "--enrol-port is refused: 7443"),
        ({"listen": "host:7443", "health": "host:7444"}, {}, "--health is refused: host:7444"),
        ({"host_name": ("-x",)}, {}, "--host-name is refused"),
        ({"host_name": ("x",) * 33}, {}, "33 names, limit 32"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_name_and_a_way_out(
    given: dict[str, Any], environment: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingRefused) as caught:
        parsed(environment, **given)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_that_holds_no_one_line_secret_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"two\nlines", b"\xff", b"x" * 9_000):
        (tmp_path / "dsn").write_bytes(content)
        with pytest.raises(SettingRefused, match=r"\$ANABRANCH_POSTGRES is refused"):
            parsed({**LOGIN, "ANABRANCH_POSTGRES": f"@{tmp_path / 'dsn'}"}, vault="http://vault")


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:7443", "hub.example.org:65535"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_address(text)) == text
