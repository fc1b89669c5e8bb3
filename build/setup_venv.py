"""Make .venv hold the locked dependencies and the project itself, installed editable.

`make` runs this before every target; when nothing changed it only compares a stamp (0.1 s). A set-up that
was interrupted is thrown away and made anew: pip takes a half-copied package for an installed one. Safe to
run twice at once: the second waits for the first. Speaks on stderr only, for `make -s bench` prints JSON.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
VENV = CHECKOUT / ".venv"
LOCK = CHECKOUT / "build" / "locks" / "dev.txt"
# Says what is installed. UNDER_WAY stands while pip copies files: found at a start, it tells an interruption.
STAMP = VENV / ".anabranch-ready"
UNDER_WAY = VENV / ".anabranch-under-way"

NETWORK_SIGNS = (
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Name or service not known",
    "Network is unreachable",
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
)


class SetupFailed(Exception):
    """A step failed; the message is for the person who typed make."""


def main() -> int:
    parser = argparse.ArgumentParser(description="set up .venv from build/locks/dev.txt")
    parser.add_argument(
        "--this-python", action="store_true", help="make .venv anew if it has another version of Python"
    )
    arguments = parser.parse_args()
    try:
        with _alone():
            _set_up(this_python=arguments.this_python)
    except SetupFailed as failed:
        _say(str(failed))
        return 1
    except KeyboardInterrupt:
        _say("set-up interrupted; the next make starts it anew")
        return 130
    return 0


def _set_up(*, this_python: bool) -> None:
    standing = _standing()
    wanted = {
        "checkout": str(CHECKOUT),  # a moved environment has the old path in every script
        "python": _version() if this_python else standing.get("python", _version()),
        "lock": _digest(LOCK),
        "project": _digest(CHECKOUT / "pyproject.toml"),
    }
    if standing == wanted:
        return
    started = time.monotonic()
    stays = all(standing.get(fact, wanted[fact]) == wanted[fact] for fact in ("checkout", "python"))
    if stays and _is_usable():
        _say("bringing .venv up to date")
    else:
        _say(f"setting up .venv with Python {_version()}: once, about a minute")
        standing = {}
        wanted["python"] = _version()
        _make_anew()
    if standing.get("lock") != wanted["lock"]:
        _say(f"installing {_count(LOCK)} locked packages")
        STAMP.unlink(missing_ok=True)
        UNDER_WAY.touch()
        _pip("install", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK))
        UNDER_WAY.unlink()
        _stamp({fact: wanted[fact] for fact in ("checkout", "python", "lock")})
    # The build backend is in the lock: nothing is fetched behind the lock's back.
    _pip("install", "--no-deps", "--no-build-isolation", "--editable", str(CHECKOUT))
    _stamp(wanted)
    _say(f".venv is ready after {time.monotonic() - started:.0f} s")


def _standing() -> dict[str, str]:
    """What the environment holds, as its stamp says; {} if it was never finished or has lost its Python."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and _python().exists() else {}


def _is_usable() -> bool:
    """Whether .venv was made whole, be it by hand, with a Python that is new enough."""
    if UNDER_WAY.exists() or not _python().exists():
        return False
    probe = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([_python(), "-c", probe], capture_output=True, check=False).returncode == 0


def _make_anew() -> None:
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    UNDER_WAY.touch()
    _run("make the environment", sys.executable, "-m", "venv", str(VENV))


def _stamp(facts: dict[str, str]) -> None:
    STAMP.write_text(json.dumps(facts))


def _pip(*arguments: str) -> None:
    _run("install the dependencies", str(_python()), "-m", "pip", "--disable-pip-version-check", *arguments)


def _run(purpose: str, *command: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    lines = done.stdout.splitlines()[-20:]
    hint = f"cannot {purpose}: exit code {done.returncode}, see above; `make clean` starts over"
    if any(sign in done.stdout for sign in NETWORK_SIGNS):
        lines = lines[-1:]  # the retries before it say the same over and over
        hint = (
            f"cannot {purpose}: the package index does not answer. Only this first set-up needs the network: "
            "connect it, or name an index within reach in PIP_INDEX_URL (proxy: HTTPS_PROXY), then make again"
        )
    elif "No space left on device" in done.stdout:
        hint = f"cannot {purpose}: the disk is full; .venv needs about 600 MB"
    sys.stderr.write("\n".join(lines) + "\n")
    raise SetupFailed(hint)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the checkout's set-up; the kernel lets go of it even if this process is killed."""
    handle = os.open(__file__, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another make sets up .venv; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _python() -> Path:
    return VENV / "bin" / "python"


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _count(lock: Path) -> int:
    return sum("==" in line for line in lock.read_text().splitlines())


def _say(line: str) -> None:
    print(f"set-up: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
