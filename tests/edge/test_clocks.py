"""Clocks that are wrong and jump, and memory that runs out: writing and reading go on, and order is kept."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from anabranch.client import Client
from anabranch.exchange import Clock
from anabranch.replica import Replica
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.ids import DocumentId

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create

DAY_S = 86_400
# Seconds from now: a day, a year and ten both ways, before 1970, 1970 and the end of 32 bits.
JUMPS = (0, DAY_S, -DAY_S, 365 * DAY_S, -365 * DAY_S, 3_650 * DAY_S, -3_650 * DAY_S)
MOMENTS = (0, 1, 2_147_483_647, 2_147_483_648, 4_294_967_296)
ROUTER = DocumentId("acme/prod/router", "config")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "replica.db"
    create(path).close()
    return path


def test_however_the_clock_jumps_time_stamps_grow_and_the_own_later_write_wins(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    hub = MemoryHub(SCOPE, lambda: NOW_MS)
    moments = [NOW_MS // 1_000 + jump for jump in JUMPS] + list(MOMENTS)
    stamps: list[int] = []
    with Client(Replica.open(path)) as client:
        edge = Exchange(SqliteStore(client.replica), hub)
        for number, moment_s in enumerate(moments):
            # when
            monkeypatch.setattr(time, "time_ns", lambda moment_s=moment_s: moment_s * 1_000_000_000)
            monkeypatch.setattr(time, "time", lambda moment_s=moment_s: float(moment_s))
            client.set(ROUTER.namespace, "/limit", number)
            # then
            assert client.get(ROUTER.namespace, "/limit").value == number
            assert client.status().documents == 1
            stamps.append(client.replica.pending(client.replica.standing().push_mark)[-1].change.timestamp)
            if number % 3 == 2:
                edge.exchange()
                assert hub.read(ROUTER) == {"limit": number}
                assert client.get(ROUTER.namespace, "/limit").value == number
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize(
    ("moment", "word"),
    [
        ("1970-01-01 00:10:00", "clock"),
        ("2038-01-19 03:14:08", "offline"),
        ("2100-03-01 00:00:00", "offline"),
    ],
)
def test_commands_work_at_any_time_and_status_names_a_clock_that_cannot_be_right(
    path: Path, moment: str, word: str
) -> None:
    faketime = shutil.which("faketime")
    if faketime is None:
        pytest.skip("this machine has no faketime")

    def ran(*arguments: str) -> str:
        command = [
            faketime,
            moment,
            sys.executable,
            "-m",
            "anabranch.cli",
            "--replica",
            str(path),
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    ran("set", ROUTER.namespace, "/limit", "7")
    assert json.loads(ran("get", ROUTER.namespace, "/limit", "--json"))["value"] == 7
    assert json.loads(ran("status", "--json"))["condition"]["word"] == word


def test_notes_for_others_follow_the_clock_that_was_set_right_and_timers_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given: an agent that began at 1970, as a device without a battery does
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    clock = Clock()
    # when
    monkeypatch.setattr(time, "time_ns", lambda: NOW_MS * 1_000_000)
    # then
    assert clock.wall_ms() == NOW_MS
    assert clock.now_ms() < 60_000


SCARCE = """
import resource, sys
from pathlib import Path
from anabranch.errors import ReplicaError
from anabranch.replica import Replica
from tests.edge.replica.sqlite_store import write
from tests.edge.replica.workload import DOCUMENTS
with Replica.open(Path(sys.argv[1])) as replica:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[2]),) * 2)
    texts = []
    for number in range(60):
        try:
            texts.append(str(number) * 40_000)
            write(replica, DOCUMENTS[number % 6], {"text": texts[-1], "number": number})
        except (MemoryError, ReplicaError):
            print("refused", flush=True)
            continue
        print(number, flush=True)
"""


def test_memory_that_runs_out_at_any_moment_leaves_nothing_half_written(tmp_path: Path) -> None:
    refused = 0
    for kibibytes in (0, 64, 256, 512, 1_024, 2_048, 4_096, 8_192):
        path = tmp_path / f"{kibibytes}" / "replica.db"
        create(path).close()
        command = [sys.executable, "-c", SCARCE, str(path), str(kibibytes * 1_024)]
        # when
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        # then
        lines = ran.stdout.split()
        refused += "refused" in lines or ran.returncode != 0
        numbers = [int(line) for line in lines if line.isdecimal()]
        with Replica.open(path) as replica:
            assert replica.verify() == []
            assert replica.loss is None
            written = [each.dot.local_seq for each in replica.pending(0)]
            assert replica.standing().last_local >= len(numbers)
            assert written == list(range(1, len(written) + 1))
    assert refused
