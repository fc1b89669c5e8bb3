"""Generate the code of protos/ beside its .proto files.

    make protos                     after a change of a .proto
    make protos ARGS=--check        exit 1 when what is committed is not what would be generated

Only messages are generated. gRPC's own stubs would demand at run time the very grpcio they were generated
with, and would import grpc in a room that needs none of it: the shells name the methods themselves.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent.parent / "protos"
GENERATED = ("*_pb2.py", "*_pb2.pyi")


def main() -> int:
    parser = argparse.ArgumentParser(description="generate the code of protos/")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if anything would change"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="anabranch-protos-") as folder:
        _generate(Path(folder))
        fresh, committed = _files(Path(folder)), _files(PROTOS)
    if fresh == committed:
        return 0
    stale = sorted(
        str(path) for path in fresh.keys() | committed.keys() if fresh.get(path) != committed.get(path)
    )
    if arguments.check:
        print(f"protos: {', '.join(stale)} differ from their .proto: run `make protos`", file=sys.stderr)
        return 1
    for path in committed.keys() - fresh.keys():
        (PROTOS / path).unlink()
    for path, text in fresh.items():
        (PROTOS / path).write_text(text)
    print(f"protos: wrote {', '.join(stale)}")
    return 0


def _generate(target: Path) -> None:
    sources = [str(path.relative_to(PROTOS)) for path in sorted(PROTOS.rglob("*.proto"))]
    # protoc finds its plugin for type stubs on the path, beside this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    compiler = [sys.executable, "-m", "grpc_tools.protoc", "-I", ".", "--python_out", str(target)]
    subprocess.run(
        [*compiler, "--mypy_out", f"quiet:{target}", *sources],
        cwd=PROTOS,
        check=True,
        env={**os.environ, "PATH": path},
    )


def _files(folder: Path) -> dict[Path, str]:
    return {
        path.relative_to(folder): path.read_text() for pattern in GENERATED for path in folder.rglob(pattern)
    }


if __name__ == "__main__":
    sys.exit(main())
