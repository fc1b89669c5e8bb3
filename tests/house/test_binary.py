"""What `make binary` is made of, as far as it can be tried without making it (`make test-binary` does)."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.house.checkout import CHECKOUT

PAYLOAD_H = """
#define NAME "0-0"
#define PROGRAM "program"
#define PAYLOAD "{payload}"
#define CONTENT_BYTES ((size_t)0)
static const struct {{ const char *path; size_t bytes; mode_t mode; }} FILES[] = {{ {{"program", 0, 0755}} }};
"""
ZSTD_H = "#include <stddef.h>\nsize_t ZSTD_decompress(void *, size_t, const void *, size_t);\n"


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


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")
def test_the_launcher_compiles_without_a_warning(tmp_path: Path) -> None:
    payload = tmp_path / "payload.zst"
    payload.write_bytes(b"")
    (tmp_path / "payload.h").write_text(PAYLOAD_H.format(payload=payload))
    (tmp_path / "zstd.h").write_text(ZSTD_H)
    source = CHECKOUT / "build" / "launcher.c"
    strictly = ["gcc", "-Os", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}", "-c", str(source)]

    done = subprocess.run(strictly, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


# What stands for zstd where the launcher is tried: its payload is not compressed.
STORED_H = """
#include <string.h>
static size_t ZSTD_decompress(void *into, size_t bytes, const void *from, size_t length) {
    memcpy(into, from, bytes < length ? bytes : length);
    return length;
}
"""
# It tells where it was unpacked. The end looks like a call, as the launcher's search for such ends before it.
TELLING = b"#!/bin/sh\necho $0\nexit\n\xe8\x01\x00\x00\x00"


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """One that carries a script."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc here")
    made = tmp_path / "made"
    made.mkdir()
    payload = made / "payload"
    payload.write_bytes(packing().addressed(TELLING))
    told = PAYLOAD_H.format(payload=payload).replace("size_t)0", f"size_t){len(TELLING)}")
    (made / "payload.h").write_text(told.replace('"program", 0', f'"program", {len(TELLING)}'))
    (made / "zstd.h").write_text(STORED_H)
    source = CHECKOUT / "build" / "launcher.c"
    subprocess.run(["gcc", f"-I{made}", str(source), "-o", str(made / "launcher")], cwd=made, check=True)
    return made / "launcher"


def packing() -> ModuleType:
    """build/payload.py, which is a script."""
    found = importlib.util.spec_from_file_location("payload", CHECKOUT / "build" / "payload.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def unpacked_by(launcher: Path, cache: Path, home: Path) -> Path:
    """The program that the launcher became, with these folders to choose from."""
    places = {"XDG_CACHE_HOME": str(cache), "HOME": str(home)}
    done = subprocess.run([launcher], env=places, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_what_is_unpacked_is_what_was_packed_to_the_last_byte(launcher: Path, tmp_path: Path) -> None:
    program = unpacked_by(launcher, tmp_path / "cache", tmp_path)

    assert program == tmp_path / "cache" / "anabranch" / "0-0" / "program"
    assert program.read_bytes() == TELLING


def test_a_link_to_the_cache_is_followed_once(launcher: Path, tmp_path: Path) -> None:
    # given: whoever owns the link may turn it elsewhere a moment after it was looked at
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "anabranch").symlink_to(real)

    # then
    assert unpacked_by(launcher, tmp_path / "cache", tmp_path) == real / "0-0" / "program"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to other groups")
def test_a_cache_below_a_folder_that_a_group_can_change_is_not_used(launcher: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, 0, 1)
    shared.chmod(0o775)

    program = unpacked_by(launcher, shared, tmp_path)

    assert program == tmp_path / ".cache" / "anabranch" / "0-0" / "program"
    assert not any((shared / "anabranch").iterdir())


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")
def test_a_python_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    build = [sys.executable, str(CHECKOUT / "build" / "edge_binary.py"), "--python", str(tmp_path / "none")]

    done = subprocess.run(build, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("binary: no usable Python")
