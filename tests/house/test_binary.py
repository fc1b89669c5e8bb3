"""What `make binary` is made of, as far as it can be tried without making it (`make test-binary` does)."""

import shutil
import subprocess
import tomllib
from pathlib import Path

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
