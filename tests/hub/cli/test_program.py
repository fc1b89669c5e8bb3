"""The program as a whole: help, completion, and no traceback whatever happens."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from anabranch_cli import failure
from anabranch_hub.cli.program import program

from tests.running_hub import RunningHub, hub_command, run_hub_command, surroundings


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for name in program.list_commands(None):  # type: ignore[arg-type]  # it needs none
        assert program.run([name, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: anabranch-hub {name}")


@pytest.mark.parametrize("arguments", [[], ["edge"]])
def test_nothing_said_is_answered_with_the_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.run(arguments) == 2
    seen = capsys.readouterr()
    assert (seen.out, seen.err.splitlines()[0][:20]) == ("", "Usage: anabranch-hub")


def test_the_exit_codes_are_in_the_help() -> None:
    ran = run_hub_command("--help")
    assert ran.code == 0
    for code in (
        "2 usage",
        "3 not found",
        "4 denied",
        "5 conflict",
        "7 unreachable",
        "8 verification failed",
    ):
        assert code in " ".join(ran.out.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["completion", shell]) == 0
    assert "_ANABRANCH_HUB_COMPLETE" in capsys.readouterr().out


def test_a_shell_is_told_the_commands_that_begin_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_ANABRANCH_HUB_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "anabranch-hub me")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert program.run([]) == 0
    assert capsys.readouterr().out == "plain,merges\n"


def test_the_version_is_printed_for_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["version"]) == 0
    number = capsys.readouterr().out.split()[1]
    assert program.run(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == number


def test_a_slip_is_answered_with_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["merge", "list"]) == 2
    assert "did you mean merges?" in capsys.readouterr().err


def test_a_command_without_a_hub_says_which_one_it_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("ANABRANCH_HUB_DATA", "ANABRANCH_POSTGRES"):
        monkeypatch.delenv(variable, raising=False)
    assert program.run(["tenant", "list"]) == 2
    assert "which hub? Give --data-dir DIR" in capsys.readouterr().err
    assert program.run(["tenant", "list", "--data-dir", str(tmp_path)]) == 7
    assert f"no hub runs on {tmp_path}: start it with" in capsys.readouterr().err


def test_a_postgres_that_is_not_there_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["migrate", "--postgres", "postgresql://hub@127.0.0.1:1/db"]) == 7
    assert "Postgres is not available" in capsys.readouterr().err


def test_a_defect_is_one_line_and_its_traceback_a_private_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    # when
    code = failure.report(RuntimeError("boom\x1b[2J"), "anabranch-hub", as_json=False, debug=False)

    # then
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 1
    assert "unexpected RuntimeError" in line
    kept = tmp_path / "anabranch-hub" / "log" / "crash.log"
    assert str(kept) in line
    assert "boom" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_a_reader_who_leaves_early_is_no_error(hub: RunningHub, tenant: str) -> None:
    # far more than a pipe holds, or all of it may be written before the reader has left
    documents = {f"acme/prod/models/{'m' * 100}{n}": {"a": 1} for n in range(2000)}
    hub.ok("import", tenant, "-", stdin=json.dumps(documents))
    command = hub_command("list", tenant, "--data-dir", str(hub.data_dir))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert said == ""
    assert process.returncode == 141
