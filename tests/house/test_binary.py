"""What `make binary` is made of, as far as it can be tried without making it (`make test-binary` does)."""

import ast
import fcntl
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.house.checkout import CHECKOUT


def test_the_budget_holds_its_limits() -> None:
    budget = tomllib.loads((CHECKOUT / "build" / "budget.toml").read_text())

    numbers = {name: limit for name, limit in budget.items() if name != "glibc"}
    assert set(numbers) == {
        *("size_bytes_max", "version_ms_max", "get_ms_max", "start_ratio_max"),
        *("private_bytes_max", "resident_bytes_max"),
    }
    assert all(limit > 0 for limit in numbers.values())
    assert budget["glibc"].startswith("2.")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("unit", ["anabranch.service", "anabranch-enrol.service"])
def test_systemd_understands_the_units(unit: str, tmp_path: Path) -> None:
    # It looks for the program too, which is not installed here.
    text = (CHECKOUT / "build" / "packages" / unit).read_text()
    (tmp_path / unit).write_text(text.replace("/usr/bin/anabranch", "/bin/true"))

    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / unit)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_service_is_held_as_tightly_as_the_enrolment() -> None:
    def limits(unit: str) -> list[str]:
        lines = (CHECKOUT / "build" / "packages" / unit).read_text().splitlines()
        return lines[lines.index("CapabilityBoundingSet=") : lines.index("SystemCallErrorNumber=EPERM") + 1]

    assert limits("anabranch.service") == limits("anabranch-enrol.service")


# It tells where it was unpacked. The end looks like a call, as the launcher's search for such ends before it.
TELLING = b"#!/bin/sh\necho $0\nexit\n\xe8\x01\x00\x00\x00"
# Machine code, texts, noise and long runs: every kind of match and literal of LZMA.
OTHERS = {
    "lib/python": Path(sys.executable).read_bytes()[:1_000_000],
    "noise": random.Random(1).randbytes(70_000),
    "runs": b"".join(bytes([number % 256]) * number for number in range(2_000)),
    "nothing": b"",
}


def script(name: str) -> ModuleType:
    """One of the scripts of build/."""
    found = importlib.util.spec_from_file_location(name, CHECKOUT / "build" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def compiled(made: Path) -> Path:
    """A launcher around the payload in that folder."""
    strictly = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{made}", "-o", str(made / "launcher")]
    subprocess.run([*strictly, str(CHECKOUT / "build" / "launcher.c")], check=True)
    return made / "launcher"


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """One that carries a script and files beside it."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc here")
    folder, made = tmp_path / "folder", tmp_path / "made"
    for name, content in {"program": TELLING, **OTHERS}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "program").chmod(0o755)
    made.mkdir()
    script("payload").pack(folder, "0", "program", made)
    return compiled(made)


def unpacked_by(launcher: Path, cache: Path, home: Path) -> Path:
    """The program that the launcher became, with these folders to choose from."""
    places = {"XDG_CACHE_HOME": str(cache), "HOME": str(home)}
    done = subprocess.run([launcher], env=places, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_what_is_unpacked_is_what_was_packed_to_the_last_byte(launcher: Path, tmp_path: Path) -> None:
    program = unpacked_by(launcher, tmp_path / "cache", tmp_path)

    assert program.parent.parent == tmp_path / "cache" / "anabranch"
    assert program.name == "program"
    assert {name: (program.parent / name).read_bytes() for name in OTHERS} == OTHERS
    assert program.read_bytes() == TELLING


def test_a_flipped_bit_is_never_unpacked(launcher: Path, tmp_path: Path) -> None:
    # given
    packed = launcher.parent / "payload.lzma"
    bits = bytearray(packed.read_bytes())
    bits[len(bits) // 2] ^= 16
    packed.write_bytes(bits)
    damaged = compiled(launcher.parent)

    # when
    done = subprocess.run([damaged], env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False)

    # then
    assert done.returncode == 1
    assert done.stderr == "anabranch: this file is damaged: get it anew\n"  # once, not for each place
    assert not any((tmp_path / ".cache" / "anabranch").iterdir())


def test_docstrings_go_and_every_line_stays_where_it_was() -> None:
    # given
    module = script("docstrings")
    source = (CHECKOUT / "edge" / "anabranch" / "replica" / "store.py").read_bytes()

    # when
    stripped = module.without_docstrings(source)

    # then
    assert module.without_docstrings(stripped) == stripped
    assert stripped.count(b"\n") == source.count(b"\n")
    documented, bare = (list(ast.walk(ast.parse(text))) for text in (source, stripped))
    assert len(documented) == len(bare)
    for before, after in zip(documented, bare, strict=True):
        assert type(before) is type(after)
        assert getattr(before, "lineno", 0) == getattr(after, "lineno", 0)
        if isinstance(after, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            assert ast.get_docstring(after) in (None, ".")


def test_a_link_to_the_cache_is_followed_once(launcher: Path, tmp_path: Path) -> None:
    # given: whoever owns the link may turn it elsewhere a moment after it was looked at
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "anabranch").symlink_to(real)

    # then
    assert unpacked_by(launcher, tmp_path / "cache", tmp_path).parent.parent == real


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to other groups")
def test_a_cache_below_a_folder_that_a_group_can_change_is_not_used(launcher: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, 0, 1)
    shared.chmod(0o775)

    program = unpacked_by(launcher, shared, tmp_path)

    assert program.parent.parent == tmp_path / ".cache" / "anabranch"
    assert not any(shared.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to others")
@pytest.mark.parametrize("link", [False, True], ids=["folder", "link"])
def test_nothing_is_made_in_the_home_of_somebody_else(launcher: Path, tmp_path: Path, *, link: bool) -> None:
    # given: root with the HOME of somebody whose cache may be a link to anywhere
    theirs, real = tmp_path / "theirs", tmp_path / "real"
    for folder in (theirs, real):
        folder.mkdir()
    cache = theirs / "cache"
    if link:
        cache.symlink_to(real)
    else:
        cache.mkdir()
    for path in (theirs, cache):
        os.chown(path, 1, 1, follow_symlinks=False)

    # when
    program = unpacked_by(launcher, cache, tmp_path)

    # then
    assert program.parent.parent == tmp_path / ".cache" / "anabranch"
    assert not any(cache.iterdir())


def test_an_unpacked_folder_that_others_can_change_is_not_used(launcher: Path, tmp_path: Path) -> None:
    # given: the folder around it is in order, and what is inside has the right lengths
    planted = unpacked_by(launcher, tmp_path / "cache", tmp_path)
    planted.write_bytes(TELLING.replace(b"echo", b"exit"))
    planted.parent.chmod(0o777)

    # when
    program = unpacked_by(launcher, tmp_path / "cache", tmp_path)

    # then
    assert program.parent.parent == tmp_path / ".cache" / "anabranch"


def test_what_a_killed_start_left_is_swept_and_what_another_unpacks_is_not(
    launcher: Path, tmp_path: Path
) -> None:
    # given
    unpacked = unpacked_by(launcher, tmp_path / "cache", tmp_path).parent
    left, busy = (unpacked.with_name(f"{unpacked.name}.{end}") for end in ("killed", "locked"))
    shutil.copytree(unpacked, left)
    (left / "program").unlink()
    unpacked.rename(busy)

    # when
    handle = os.open(busy, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        unpacked_by(launcher, tmp_path / "cache", tmp_path)
    finally:
        os.close(handle)

    # then
    assert set(unpacked.parent.iterdir()) == {unpacked, busy}


def test_a_umask_that_takes_rights_from_the_user_does_not_spoil_the_cache(
    launcher: Path, tmp_path: Path
) -> None:
    places = {"HOME": str(tmp_path)}

    command = ["sh", "-c", 'umask 0377; exec "$0"', str(launcher)]
    done = subprocess.run(command, env=places, capture_output=True, text=True, check=True)

    assert done.stdout.startswith(str(tmp_path / ".cache" / "anabranch"))


def with_mounts(launcher: Path, script: str, *arguments: str | Path, **places: str) -> list[str]:
    """The words that a script with mounts of its own prints; it ends with 77 where there can be none."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, launcher, *arguments],
        env={"PATH": os.environ["PATH"], **places},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or done.stderr.startswith("unshare"):
        pytest.skip("nothing can be mounted here")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


ON_A_FULL_DISK = """
mount -t tmpfs -o size=64k,mode=755 none "$1" && mkdir -m 700 "$1/anabranch" || exit 77
touch -d @1 "$1/anabranch"
"$0" && stat -c %Y "$1/anabranch"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk_is_not_written_to_at_every_start(launcher: Path, tmp_path: Path) -> None:
    # given
    cache = tmp_path / "cache"
    cache.mkdir()

    # when
    places = {"XDG_CACHE_HOME": str(cache), "HOME": str(tmp_path)}
    program, changed_at = with_mounts(launcher, ON_A_FULL_DISK, cache, **places)

    # then
    assert Path(program).parent.parent == tmp_path / ".cache" / "anabranch"
    assert changed_at == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts, or may write to /")
def test_an_empty_home_is_not_the_root_of_all_files(launcher: Path) -> None:
    (program,) = with_mounts(launcher, 'mount -t tmpfs none /var/tmp || exit 77; exec "$0"', HOME="")

    assert program.startswith("/var/tmp/")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")
def test_a_python_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    build = [sys.executable, str(CHECKOUT / "build" / "edge_binary.py"), "--python", str(tmp_path / "none")]

    done = subprocess.run(build, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("binary: no usable Python")


@pytest.mark.skipif(None in map(shutil.which, ("gcc", "ar", "objdump")), reason="there are no binutils here")
def test_a_python_that_was_compiled_with_a_profile_is_known_by_its_library(tmp_path: Path) -> None:
    # given
    def library(name: str, *hot: str) -> Path:
        modules = []
        for number, attribute in enumerate(hot):
            module = tmp_path / f"{name}{number}.o"
            source = f"{attribute} int function(int x) {{ return x + {number}; }}"
            command = ["gcc", "-O2", "-x", "c", "-c", "-o", str(module), "-"]
            subprocess.run(command, input=source, text=True, check=True)
            modules.append(module)
        subprocess.run(["ar", "rc", tmp_path / f"{name}.a", *modules], check=True)
        return tmp_path / f"{name}.a"

    is_hot = "__attribute__((hot))"

    # then
    is_profiled = script("frozen_python").is_profiled
    assert is_profiled(library("profiled", is_hot, is_hot, ""))
    assert not is_profiled(library("plain", is_hot, "", ""))


# Stands in the way of these modules, and of sources, into which anyio looks. Imports all that is the edge's
# own, and what that puts off.
WITHOUT = """
import inspect, pkgutil, sys
from importlib import import_module

def unreadable(module):
    raise OSError("could not get source code")

inspect.getsource = unreadable

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in left_out:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

left_out = set(sys.argv[1:]) - sys.modules.keys()
sys.meta_path.insert(0, Missing())
for package in ("anabranch", "anabranch_cli", "anabranch_protos", "anabranch_sync"):
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
for put_off in ("jsonpatch", "platformdirs", "pycrdt", "sqlite_utils.migrations"):
    import_module(put_off)
"""


def test_what_is_left_out_is_imported_by_nothing_that_is_in_it() -> None:
    # given
    lines = (CHECKOUT / "build" / "left_out.txt").read_text().splitlines()
    names = [name for line in lines if not line.startswith("#") for name in line.split()]

    # when
    command = [sys.executable, "-c", WITHOUT, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    # then
    assert (done.returncode, done.stderr) == (0, "")
