"""What git keeps is the project's alone: nothing of the machine on which it was written."""

import re
from pathlib import Path

import pytest

from tests.house.checkout import CHECKOUT, tracked_files

# Put together from halves, so that this file does not find itself.
REGISTRY_HOSTS = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npmjs" + ".org",
    "npmjs" + ".com",
    "yarnpkg" + ".com",
    "crates" + ".io",
    "deb" + ".debian.org",
    "archive" + ".ubuntu.com",
    "proxy" + ".golang.org",
    "repo1" + ".maven.org",
]
MACHINE_PATHS = ["/work" + "/", "/opt" + "/pypi", "/opt" + "/wheels", "/root" + "/.", "/home" + "/"]
FOREIGN = re.compile("|".join(re.escape(sign) for sign in REGISTRY_HOSTS + MACHINE_PATHS))


@pytest.fixture(scope="module")
def files() -> list[Path]:
    found = tracked_files()
    if not found:
        pytest.skip("no git here that knows this checkout")
    return found


def test_no_file_names_a_package_registry_or_a_path_of_this_machine(files: list[Path]) -> None:
    findings = [
        f"{path.relative_to(CHECKOUT)}:{number}: {hit[0]}"
        for path in files
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if (hit := FOREIGN.search(line))
    ]

    assert not findings, "\n".join(findings)


def test_no_file_is_too_large_to_read(files: list[Path]) -> None:
    # Generated code and vendored scripts stay far below; a binary or a recording would not.
    bytes_max = 1_000_000
    assert not [path for path in files if path.stat().st_size > bytes_max]


def test_build_holds_scripts_and_is_no_package() -> None:
    # A package named `build` hides the real one from `python -m build`.
    assert not (CHECKOUT / "build" / "__init__.py").exists()


def test_what_a_machine_runs_is_executable() -> None:
    assert (CHECKOUT / ".ci" / "run").stat().st_mode & 0o111
