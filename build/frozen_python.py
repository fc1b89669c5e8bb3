"""Which Python goes into dist/anabranch: the newest here that has a static libpython.

Linked statically the interpreter is one file, smaller and quicker to start. It goes without one too: then
libpython comes along as a library.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 11)
# The newest that every locked dependency has wheels for.
NEWEST = (3, 13)
_ASK = """
import ensurepip, json, pathlib, sqlite3, ssl, sys, sysconfig, venv
where = sysconfig.get_config_var
print(json.dumps([
    list(sys.version_info[:3]),
    pathlib.Path(where("LIBPL") or ".", where("LIBRARY") or "none").is_file()
    and pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file(),
]))
"""


class NoPython(Exception):
    """No Python here can be put into the file; the message tells what to install."""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter; `is_static`: it can be linked into one file."""

    path: Path
    number: tuple[int, int, int]
    is_static: bool

    @property
    def version(self) -> str:
        return ".".join(map(str, self.number))


def chosen(named: Path | None) -> Python:
    """`named`, or the newest one that is static, or else the newest. Raises NoPython."""
    places = [named] if named is not None else _places()
    found = [python for place in places if (python := _asked(place)) is not None]
    if not found:
        raise NoPython(
            f"no usable Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} among "
            f"{', '.join(map(str, places)) or 'those on the PATH'} (Debian, Ubuntu: install python3-dev and "
            "python3-venv), or name one: make binary ARGS='--python /path/to/python3.13'"
        )
    return max(found, key=lambda python: (python.is_static, python.number))


def _places() -> list[Path]:
    """Those on the PATH, and all that pyenv has."""
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)] + ["python3"]
    on_path = [Path(found) for name in names if (found := shutil.which(name))]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [*on_path, *sorted(pyenv.glob("versions/3.*/bin/python3"))]


def _asked(place: Path) -> Python | None:
    """What it says of itself; None where it does not run, lacks a part or is of another age."""
    try:
        asked = subprocess.run([place, "-I", "-c", _ASK], capture_output=True, text=True, check=False)
    except OSError:
        return None
    if asked.returncode != 0:
        return None
    (major, minor, micro), is_static = json.loads(asked.stdout)
    return Python(place, (major, minor, micro), is_static) if OLDEST <= (major, minor) <= NEWEST else None
