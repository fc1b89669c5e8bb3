"""`init`, `sync` and `agent` where no hub answers; with a hub: test_with_a_hub."""

import signal
import socket
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from anabranch.cli import linking
from anabranch.exchange import Applied, Pushed
from anabranch_cli import terminal
from anabranch_protos.introduction import CONNECT_S_MAX
from anabranch_protos.invitation import new_token

from tests.edge.cli.conftest import Anabranch
from tests.edge.cli.test_doctor import enrol

TOKEN = new_token(b"a root certificate").render()


@pytest.fixture
def silent_address() -> Iterator[str]:
    """An address where nobody listens, also not one port further."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{closed.getsockname()[1]}"


def new_edge(anabranch: Anabranch) -> Anabranch:
    """The command line where there is no replica yet."""
    return Anabranch(
        anabranch.folder / "new" / "replica.db", anabranch.folder, anabranch.monkeypatch, anabranch.capture
    )


@pytest.mark.parametrize("address", ["hub", "hub:", "hub:0", "hub:65536", ":7443", "::1:7443", "hub:x"])
def test_an_address_that_is_none_is_refused_before_anything_is_made(
    anabranch: Anabranch, address: str
) -> None:
    edge = new_edge(anabranch)
    ran = edge("init", "--hub", address, "--token", "-", stdin=TOKEN)
    assert (ran.code, ran.out) == (2, "")
    assert "host:port" in ran.err or "port" in ran.err
    assert not edge.path.parent.exists()


@pytest.mark.parametrize(
    "token",
    ["nonsense", TOKEN[:-1], "abr2" + TOKEN[4:], TOKEN + ".x", TOKEN + ".99999", "x" * 4_000],
    ids=["no token", "cut", "another version", "a word for a port", "a port too high", "long"],
)
def test_a_string_that_is_no_invitation_is_refused_and_not_repeated(anabranch: Anabranch, token: str) -> None:
    edge = new_edge(anabranch)
    ran = edge("init", "--hub", "127.0.0.1:1", "--token", "-", stdin=token)
    assert ran.code == 2
    assert ran.err.startswith("anabranch: the token is refused")
    assert token not in ran.err
    assert not edge.path.parent.exists()


def test_a_hub_that_does_not_answer_leaves_nothing_behind(anabranch: Anabranch, silent_address: str) -> None:
    # given
    edge = new_edge(anabranch)
    port = silent_address.rpartition(":")[2]

    # when
    ran = edge("init", "--hub", silent_address, "--enrolment", silent_address, "--token", "-", stdin=TOKEN)

    # then
    assert (ran.code, ran.out) == (7, "")
    assert ran.err == (
        f"anabranch: the hub at 127.0.0.1:{port} is not reachable (Connection refused): "
        "nothing was made here; check the address and the network, then try again\n"
    )
    assert list(edge.path.parent.iterdir()) == []


def test_ctrl_c_does_not_wait_for_a_hub_that_does_not_answer(anabranch: Anabranch) -> None:
    # given a server that takes connections and says nothing for longer than this test waits
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host, port = mute.getsockname()
        address = f"{host}:{port}"
        token = anabranch.folder / "token"
        token.write_text(TOKEN)
        at = ["--hub", address, "--enrolment", address, "--token", f"@{token}"]
        with new_edge(anabranch).started("init", *at) as enrolling:
            connection, _ = mute.accept()

            # when
            with connection:
                enrolling.send_signal(signal.SIGINT)
                _, err = enrolling.communicate(timeout=CONNECT_S_MAX / 2)

    # then
    assert enrolling.returncode == 130
    assert err == "anabranch: interrupted: what was answered with ok is kept, no change is half done\n"
    assert list(new_edge(anabranch).path.parent.iterdir()) == []


def test_an_invitation_comes_from_a_file_standard_input_or_the_environment(
    anabranch: Anabranch, silent_address: str, tmp_path: Path
) -> None:
    # given
    edge = new_edge(anabranch)
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    at = ["init", "--hub", silent_address, "--enrolment", silent_address]

    # then each gets as far as the hub, without a warning
    for ran in (
        edge(*at, "--token", f"@{file}"),
        edge(*at, "--token-file", str(file)),
        edge(*at, "--token", "-", stdin=TOKEN + "\n"),
    ):
        assert (ran.code, ran.err.count("\n")) == (7, 1)
    assert edge.apart(*at, environment={"ANABRANCH_TOKEN": TOKEN}).code == 7


def test_an_invitation_on_the_command_line_is_taken_with_a_warning(
    anabranch: Anabranch, silent_address: str
) -> None:
    ran = new_edge(anabranch)(
        "init", "--hub", silent_address, "--enrolment", silent_address, "--token", TOKEN
    )
    assert ran.code == 7
    assert "other users of this machine can read it" in ran.err
    assert TOKEN not in ran.err
    assert sha256(TOKEN.encode()).hexdigest() not in ran.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason"),
    [
        ([], "", "the invitation is missing"),
        (["--token", "-"], " \n", "it is empty"),
        (["--token", "@/absent/token"], "", "No such file"),
        (["--token", "-", "--token-file", "x"], "", "not both"),
        (["--token", "-"], "x" * 5_000, "which is the limit"),
    ],
)
def test_an_invitation_that_is_not_there_is_said_so(
    anabranch: Anabranch, arguments: list[str], stdin: str, reason: str
) -> None:
    ran = new_edge(anabranch)("init", "--hub", "127.0.0.1:1", *arguments, stdin=stdin)
    assert (ran.code, ran.out) == (2, "")
    assert reason in ran.err


def test_a_replica_is_never_overwritten_by_init(anabranch: Anabranch) -> None:
    anabranch("set", "acme/lab/a", "/a", "1")
    ran = anabranch("init", "--hub", "127.0.0.1:1", "--token", "-", stdin=TOKEN)
    assert ran.code == 5
    assert anabranch("get", "acme/lab/a", "/a").json == 1


def test_a_sync_without_an_identity_says_how_to_get_one(anabranch: Anabranch) -> None:
    ran = anabranch("sync")
    assert (ran.code, ran.out) == (7, "")
    assert "anabranch init" in ran.err


def test_a_damaged_identity_is_said_so(anabranch: Anabranch) -> None:
    enrol(anabranch)
    Path(f"{anabranch.path}.identity/cert.pem").write_text("not a certificate")
    for command in ("sync", "agent"):
        ran = anabranch(command)
        assert (ran.code, ran.out) == (7, "")
        assert "damaged" in ran.err


def test_how_far_a_push_has_come_is_not_hidden_by_the_empty_pull_that_answers_it() -> None:
    # given
    told: list[str] = []

    class Line(terminal.Progress):
        def tell(self, text: str) -> None:
            told.append(text)

    # when
    for step in (Pushed(8, 25, 8), Applied(0, 0), Applied(2, 0)):
        linking._tell_step(Line(), step)

    # then
    assert told == ["sent 8 of 25 changes", "applied 2 documents"]
