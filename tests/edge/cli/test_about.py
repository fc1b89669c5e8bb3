import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest
from anabranch.cli.program import program

from tests.edge.cli.conftest import Anabranch
from tests.edge.cli.test_doctor import enrol

COMMANDS = [
    "init", "get", "set", "patch", "delete", "list", "import", "export", "log", "diff", "rollback",
    "status", "incidents", "sync", "agent", "link", "courier", "relay", "subscribe", "watch", "conflicts",
    "audit", "doctor", "traffic", "version", "completion",
]  # fmt: skip


def test_the_version_is_that_of_the_package(anabranch: Anabranch) -> None:
    try:
        number = version("anabranch")
    except PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert anabranch("version").out == f"anabranch {number}\n"
    assert anabranch("version", "--json").json["version"] == number
    assert anabranch("--version").out == f"anabranch {number}\n"


def test_every_command_is_listed_and_explains_itself(anabranch: Anabranch) -> None:
    # when
    overview = anabranch("--help")

    # then
    assert overview.code == 0
    assert "Exit codes" in overview.out
    for name in COMMANDS:
        assert f"\n  {name} " in overview.out
        help_text = anabranch(name, "--help").out
        assert help_text.startswith(f"Usage: anabranch {name}")
        assert "--json" in help_text
    assert set(program.list_commands(None)) == set(COMMANDS)  # type: ignore[arg-type]


def test_without_a_command_the_overview_is_shown_as_a_usage_error(anabranch: Anabranch) -> None:
    ran = anabranch()
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: anabranch" in ran.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_what_their_shell_can_read(anabranch: Anabranch, shell: str) -> None:
    # when
    script = anabranch("completion", shell).out

    # then
    assert "_ANABRANCH_COMPLETE" in script
    if found := shutil.which(shell):
        subprocess.run([found, "-n"], input=script, text=True, check=True)
    assert anabranch("completion", shell, "--json").json["shell"] == shell


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("anabranch st", {"status"}),
        ("anabranch get acme/p", {"acme/prod/router", "acme/prod/limits"}),
        ("anabranch list acme/l", {"acme/lab/a"}),
        ("anabranch get other", set()),
    ],
)
def test_a_shell_completes_commands_and_namespaces(
    anabranch: Anabranch, words: str, completed: set[str]
) -> None:
    # given
    for namespace in ("acme/prod/router", "acme/prod/limits", "acme/lab/a"):
        anabranch("set", namespace, "/a", "1")

    # when
    asked = {
        "_ANABRANCH_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    ran = anabranch.apart(environment=asked)

    # then
    assert {line.removeprefix("plain,") for line in ran.out.split()} == completed


@pytest.mark.parametrize("words", ["anabranch --replica {} get acme/", "anabranch get --replica {} acme/"])
def test_namespaces_are_those_of_the_replica_that_the_line_names(anabranch: Anabranch, words: str) -> None:
    # given
    anabranch("set", "acme/prod/router", "/a", "1")
    other = str(anabranch.path)

    # when
    ran = anabranch.apart(
        environment={
            "ANABRANCH_REPLICA": str(anabranch.folder / "none.db"),
            "_ANABRANCH_COMPLETE": "bash_complete",
            "COMP_WORDS": words.format(other),
            "COMP_CWORD": "4",
        }
    )

    # then
    assert ran.out == "plain,acme/prod/router\n"


def test_a_replica_that_cannot_be_read_completes_nothing_silently(anabranch: Anabranch) -> None:
    anabranch.path.write_bytes(b"damaged" * 1_000)
    asked = {"_ANABRANCH_COMPLETE": "zsh_complete", "COMP_WORDS": "anabranch get acme", "COMP_CWORD": "2"}
    ran = anabranch.apart(environment=asked)
    assert (ran.out.strip(), ran.err) == ("", "")


# Each costs tens of milliseconds, or brings others that do.
HEAVY = {"grpc", "sqlite_utils", "cryptography", "asyncio", "jsonpatch", "pycrdt", "jsonschema_rs", "logging"}
EXCHANGE = {"anabranch_sync.edge_session", "anabranch_sync.messages", "anabranch.replica.exchange"}
WRITING = {"anabranch.change_builder", "anabranch.replica.apply", "anabranch.replica.commit"}


MODULES = "import sys; from anabranch.cli import main; main(sys.argv[1:]); print(*sys.modules)"


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["version"], {"anabranch.client", "sqlite3"} | WRITING),
        (["set", "acme/lab/a", "/a", "1"], set()),
        (["get", "acme/prod/router"], WRITING),
        (["list"], WRITING),
    ],
)
def test_a_command_loads_nothing_it_does_not_need(
    anabranch: Anabranch, arguments: list[str], absent: set[str]
) -> None:
    # given
    command = [sys.executable, "-c", MODULES, *arguments]

    # when
    ran = subprocess.run(command, capture_output=True, text=True, env=anabranch.environment(), check=False)

    # then
    assert not (HEAVY | EXCHANGE | absent) & set(ran.stdout.split())


# Of our own modules what a read needs, a merge included. Each dataclass in them takes 0.3 ms at every start.
READING = {
    "anabranch": """
        cli.arguments cli.interval cli.invocation cli.program cli.reading client errors readings
        replica replica.agent_lock replica.contents replica.dictionary replica.file replica.marks
        replica.parcels replica.queries replica.read_only replica.rescoping replica.rows replica.schema
        replica.seen replica.shelf replica.show replica.store""",
    "anabranch_cli": "failure options program terminal",
    "anabranch_sync": """
        change clock columns conflict demands digest document errors ids later leaf live merge merge_shapes
        packing path policy priority register scope tables value violation""",
}


def test_a_read_loads_of_our_modules_no_others(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/prod/router", "/a", "1")
    command = [sys.executable, "-c", MODULES, "get", "acme/prod/router"]
    allowed = {f"{package}.{name}" for package, names in READING.items() for name in names.split()}

    # when
    ran = subprocess.run(command, capture_output=True, text=True, env=anabranch.environment(), check=False)

    # then
    loaded = {name for name in ran.stdout.split() if name.startswith(("anabranch.", "anabranch_"))}
    assert "anabranch_sync.merge" in loaded
    assert loaded - allowed == {"anabranch.cli", "anabranch_cli", "anabranch_sync"}


def test_what_is_imported_is_no_garbage_and_a_command_begins_with_its_collection(
    anabranch: Anabranch,
) -> None:
    # given
    code = (
        "import gc, sys; from anabranch.cli import main; main(); print(gc.isenabled(), gc.get_freeze_count())"
    )
    command = [sys.executable, "-c", code, "version"]

    # when
    ran = subprocess.run(command, capture_output=True, text=True, env=anabranch.environment(), check=False)

    # then
    is_enabled, frozen = ran.stdout.splitlines()[-1].split()
    assert is_enabled == "True"
    assert int(frozen) > 10_000


def test_an_exchange_loads_no_tls_but_that_of_grpc(anabranch: Anabranch) -> None:
    # given
    enrol(anabranch)
    command = [sys.executable, "-c", MODULES, "sync"]

    # when
    ran = subprocess.run(command, capture_output=True, text=True, env=anabranch.environment(), check=False)

    # then
    loaded = set(ran.stdout.split())
    assert {"grpc", "asyncio", "anabranch.link"} <= loaded
    assert not {"ssl", "_ssl", "anabranch.relay"} & loaded
