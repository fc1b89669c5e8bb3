"""Several processes on one replica, and kills at the worst moments."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from anabranch.client import Client
from anabranch.replica import Replica

from tests.edge.replica.sqlite_store import create


@pytest.mark.parametrize(
    ("drill", "rounds"),
    [
        pytest.param("kill_after_ok", 50, id="no write is lost when its process is killed after ok"),
        pytest.param("kill_anywhere", 50, id="a kill at any moment leaves a whole replica"),
        pytest.param("race", 60, id="two writers never take the same number nor overwrite each other"),
        pytest.param("seen_at_once", 100, id="what one process wrote another reads at once"),
        pytest.param("agents", 3, id="the lock of a killed agent is free"),
    ],
)
def test_processes_on_one_replica(drill: str, rounds: int, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.edge.replica.processes", drill, str(tmp_path / "r.db"), str(rounds)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_threads_of_one_client_read_and_write_side_by_side(tmp_path: Path) -> None:
    create(tmp_path / "replica.db").close()
    failures: list[BaseException] = []

    def work(client: Client, name: str) -> None:
        try:
            for number in range(1, 41):
                client.set("acme/prod/shared", f"/{name}", number)
                assert client.get("acme/prod/shared", f"/{name}").value == number
        except BaseException as error:
            failures.append(error)
            raise

    with Client(Replica.open(tmp_path / "replica.db")) as client:
        threads = [threading.Thread(target=work, args=(client, f"t{each}")) for each in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        assert client.get("acme/prod/shared").value == {f"t{each}": 40 for each in range(4)}
        assert client.replica.standing().last_local == 160
