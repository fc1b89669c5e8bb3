"""The way out of the process, whatever happens: pipes, disks, signals, defects."""

import json
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from anabranch.client import Client
from anabranch.replica import Replica

from tests.edge.cli.conftest import PATIENCE_S, Anabranch


def test_an_error_in_json_is_one_object_on_standard_error(anabranch: Anabranch) -> None:
    # when
    ran = anabranch.apart("set", "acme/lab/a", "/a", "18446744073709551616", "--json")

    # then
    assert ran.code == 2
    assert ran.error == {
        "kind": "InvalidValue",
        "message": "value at /a is refused: 18446744073709551616 is beyond 64 bits: write it as a string",
        "exit_code": 2,
        "facts": {"place": "/a", "reason": "18446744073709551616 is beyond 64 bits: write it as a string"},
    }


@pytest.mark.parametrize("command", [("get", "acme/lab/none"), ("get",), ("nonsense",)])
def test_an_error_is_json_wherever_that_is_asked_for(anabranch: Anabranch, command: tuple[str, ...]) -> None:
    after = anabranch(*command, "--json")
    before = anabranch("--json", *command)

    assert before.code == after.code
    assert before.error["kind"] == after.error["kind"]


@pytest.mark.parametrize("namespace", ["acme/\x9b2J", "acme/\u202e", "acme/\udcff"])
def test_an_error_in_json_holds_nothing_that_a_terminal_obeys(anabranch: Anabranch, namespace: str) -> None:
    # when
    ran = anabranch("get", namespace, "--json")

    # then
    assert ran.err.strip().isprintable()
    assert ran.error["facts"]["name"] == namespace


def test_a_reader_that_goes_away_is_no_error_worth_a_word(anabranch: Anabranch) -> None:
    # given more than a pipe holds
    documents = {f"acme/lab/{n}/config": {"text": "t" * 250_000} for n in range(12)}
    assert anabranch("import", "-", stdin=json.dumps(documents)).code == 0

    # when
    with anabranch.started("export") as exporting:
        assert exporting.stdout is not None
        exporting.stdout.read(1)
        exporting.stdout.close()
        code = exporting.wait(PATIENCE_S)
        assert exporting.stderr is not None
        said = exporting.stderr.read()

    # then
    assert (code, said) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_answer_that_cannot_be_written_is_a_failure(anabranch: Anabranch) -> None:
    with Path("/dev/full").open("w") as full, anabranch.started("version", stdout=full) as running:
        _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 1
    assert said == "anabranch: No space left on device\n"


def test_closed_streams_do_no_harm(anabranch: Anabranch) -> None:
    # when
    command = " ".join(anabranch.command("set", "acme/lab/a", "/a", "1", ">&-", "2>&-", "<&-"))
    code = subprocess.run(command, shell=True, env=anabranch.environment(), check=False).returncode

    # then
    assert code == 0
    assert anabranch("get", "acme/lab/a").json == {"a": 1}


@pytest.mark.parametrize("signals", [1, 3])
def test_ctrl_c_ends_with_130_and_without_a_traceback(anabranch: Anabranch, signals: int) -> None:
    # given
    with anabranch.started("watch", "-v") as watching:
        _wait_until_open(anabranch)

        # when
        for _ in range(signals):
            watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=PATIENCE_S)

    # then
    assert (watching.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert err.count("\n") <= 1


def test_ctrl_c_while_a_value_is_typed_changes_nothing(anabranch: Anabranch) -> None:
    # given
    reading, writing = os.pipe()
    command = anabranch.command("set", "acme/lab/a", "/a", "-")
    with subprocess.Popen(
        command,
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=anabranch.environment(),
    ) as setting:
        os.close(reading)
        os.write(writing, b'{"half": ')
        time.sleep(1.0)  # it reads to the end, which does not come; sooner, it is interrupted elsewhere

        # when
        setting.send_signal(signal.SIGINT)
        out, err = setting.communicate(timeout=PATIENCE_S)
        os.close(writing)

    # then
    assert (setting.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert anabranch("list").out == ""


def test_a_defect_is_told_in_one_line_and_kept_in_a_file(
    anabranch: Anabranch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    def broken(_: Client, __: str = "") -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Client, "list", broken)

    # when
    ran = anabranch("list")

    # then
    crash = anabranch.folder / "state/anabranch/log/crash.log"
    assert ran.code == 1
    assert ran.err == (
        "anabranch: unexpected ZeroDivisionError: this is a defect of anabranch, your data is as it was; "
        f"details are in {crash}\n"
    )
    assert "ZeroDivisionError: a defect" in crash.read_text()
    assert stat.S_IMODE(crash.stat().st_mode) == 0o600
    assert anabranch("list", "--json").error["kind"] == "ZeroDivisionError"


def test_a_defect_shows_where_it_was_when_asked(anabranch: Anabranch) -> None:
    # given
    script = (
        "import sys; from anabranch.client import Client; Client.list = lambda *_: 1 / 0\n"
        "from anabranch.cli import main; sys.exit(main(['list', *sys.argv[1:]]))"
    )

    def run(environment: dict[str, str], *arguments: str) -> str:
        command = [anabranch.command()[0], "-c", script, *arguments]
        env = anabranch.environment(environment)
        return subprocess.run(command, capture_output=True, text=True, env=env, check=False).stderr

    # then
    assert "Traceback" not in run({})
    assert "Traceback" not in run({"ANABRANCH_DEBUG": "0"})
    assert "Traceback" in run({"ANABRANCH_DEBUG": "1"})
    assert "Traceback" in run({}, "--debug")


def test_bytes_that_are_no_text_are_refused_and_shown_harmlessly(anabranch: Anabranch) -> None:
    # when
    command = [os.fsencode(part) for part in anabranch.command("set", "acme/lab/a", "/a")]
    ran = subprocess.run(
        [*command, b"caf\xe9"], capture_output=True, env=anabranch.environment(), check=False
    )

    # then
    assert ran.returncode == 2
    assert ran.stdout == b""
    assert b"lone surrogate at character 3" in ran.stderr


def test_a_terminal_without_unicode_gets_escapes_and_a_pipe_gets_utf_8(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/lab/a", "/name", "é漢")

    # when
    ran = anabranch.apart("get", "acme/lab/a", environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})

    # then
    assert ran.json == {"name": "é漢"}


def _wait_until_open(anabranch: Anabranch) -> None:
    """Wait until another process has the replica open: its write-ahead log appears with it."""
    end_s = time.monotonic() + PATIENCE_S
    while not Path(f"{anabranch.path}-wal").exists():
        assert time.monotonic() < end_s
        time.sleep(0.02)
    Replica.open(anabranch.path).close()
