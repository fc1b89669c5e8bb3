"""Which Python goes into dist/anabranch: one with a static libpython that was compiled with a profile.

Linked statically the interpreter is one file, smaller and quicker to start. It goes without one too: then
libpython comes along as a library. A profile of what programs do (Debian's Python, or one configured with
--enable-optimizations) saves a quarter of the time that a start takes: more than a newer version does.
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
    str(pathlib.Path(where("LIBPL") or ".", where("LIBRARY") or "none")),
    pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file(),
]))
"""


class NoPython(Exception):
    """No Python here can be put into the file; the message tells what to install."""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter; `is_static`: it can be linked into one file, `is_profiled`: one that is quick."""

    path: Path
    number: tuple[int, int, int]
    is_static: bool
    is_profiled: bool

    @property
    def version(self) -> str:
        return ".".join(map(str, self.number))


def chosen(named: Path | None) -> Python:
    """`named`, or the newest of the best: static, and with a profile. Raises NoPython."""
    places = [named] if named is not None else _places()
    found = [python for place in places if (python := _asked(place)) is not None]
    if not found:
        raise NoPython(
            f"no usable Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} among "
            f"{', '.join(map(str, places)) or 'those on the PATH'} (Debian, Ubuntu: install python3-dev and "
            "python3-venv), or name one: make binary ARGS='--python /path/to/python3.13'"
        )
    return max(found, key=lambda python: (python.is_static, python.is_profiled, python.number))


def _places() -> list[Path]:
    """All on the PATH, also those that others there hide, and all that pyenv has."""
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)] + ["python3"]
    folders = os.get_exec_path()
    on_path = [Path(found) for name in names for each in folders if (found := shutil.which(name, path=each))]
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
    (major, minor, micro), library, has_headers = json.loads(asked.stdout)
    if not OLDEST <= (major, minor) <= NEWEST:
        return None
    is_static = has_headers and Path(library).is_file()
    return Python(place, (major, minor, micro), is_static, is_static and is_profiled(Path(library)))


def is_profiled(library: Path) -> bool:
    """Whether a static library was compiled with a profile: most of its modules keep hot functions apart."""
    told = subprocess.run(["objdump", "-h", library], capture_output=True, text=True, check=True).stdout
    return told.count(" .text.hot") > told.count("file format") / 2
