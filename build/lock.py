"""Write build/locks/*.txt: every dependency with its exact version and the hash of each of its files.

    make lock                    after a change of pyproject.toml: keep what is locked, add what is new
    make lock ARGS=--upgrade     take the newest versions that pyproject.toml allows

One resolution holds for Python 3.11 and newer on every platform (environment markers where they differ);
edge.txt, hub.txt and test.txt are parts of dev.txt, so that what is tested is what is shipped; binary.txt
holds the tools of `make binary`, at dev.txt's versions where both have one. The files name no package index:
where packages come from is the affair of the machine that installs them.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LOCKS = CHECKOUT / "build" / "locks"

# The resolver: pip alone resolves for one machine only, uv for all of them at once.
RESOLVER = "uv==0.13.9"
COMMAND = ["pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--quiet"]
COMMAND += ["--no-emit-index-url", "--no-header", "--no-annotate"]
# A company's own certificate authority is known to the machine, not to uv.
COMMAND += ["--system-certs"]

# What each file covers, in uv's words. dev.txt comes first: the others are held to its versions.
PARTS: dict[str, list[str]] = {
    "dev.txt": ["pyproject.toml", "--extra", "hub", "--group", "dev"],
    "hub.txt": ["pyproject.toml", "--extra", "hub"],
    "edge.txt": ["pyproject.toml"],
    "test.txt": ["--group", "test"],
    "binary.txt": ["--group", "binary"],
}

HEADER = """\
# Written by `make lock` (build/lock.py); do not edit.
# Install with: pip install --require-hashes -r build/locks/{name}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="lock the dependencies of pyproject.toml with their hashes")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions allowed")
    arguments = parser.parse_args()
    LOCKS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="anabranch-lock-") as folder:
        environment = Path(folder)
        venv.create(environment, with_pip=True)
        subprocess.run([environment / "bin" / "pip", "install", "-q", RESOLVER], check=True)
        for name, covers in PARTS.items():
            _lock(environment / "bin" / "uv", name, covers, upgrade=arguments.upgrade)
            print(f"build/locks/{name}: {_count(LOCKS / name)} packages")
    return 0


def _lock(resolver: Path, name: str, covers: list[str], *, upgrade: bool) -> None:
    held = [] if name == "dev.txt" else ["--constraints", "build/locks/dev.txt"]
    target = LOCKS / name
    if upgrade:
        target.unlink(missing_ok=True)
    subprocess.run([resolver, *COMMAND, *held, *covers, "--output-file", target], cwd=CHECKOUT, check=True)
    target.write_text(HEADER.format(name=name) + target.read_text())


def _count(lock: Path) -> int:
    return sum("==" in line for line in lock.read_text().splitlines())


if __name__ == "__main__":
    sys.exit(main())
