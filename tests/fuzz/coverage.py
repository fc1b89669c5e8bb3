"""Coverage-guided fuzzing: ``python -m tests.fuzz.coverage --seconds 60 [--only TARGET]``.

atheris watches which branches of the core an input takes and keeps what takes new ones in
tests/fuzz/corpus; what a target neither decodes nor refuses lands in tests/fuzz/crashers. The tests play both
again. atheris is a wheel for Linux on x86-64 and Python 3.11 alone, so it is no part of the locks: `make
fuzz-coverage` puts it into a folder of its own.
"""

import argparse
import os
import subprocess
import sys
from contextlib import suppress
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
CRASHERS = HERE / "crashers"
# What one input may take: the bound that promises name, with room for an instrumented interpreter.
INPUT_S_MAX = 10
# As in the mutation fuzz, beyond what the interpreter has at its start.
MEMORY_MIB_MAX = 512
# Larger ones are found by the mutation fuzz, and make a repository heavy.
INPUT_BYTES_MAX = 4_096


def main() -> int:
    """Fuzz each target for its time, in a process of its own; 1 where one has failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.coverage", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long for each target")
    parser.add_argument("--only", help="this target alone")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if find_spec("atheris") is None:
        sys.stderr.write("fuzz: atheris is not here: `make fuzz-coverage` (Linux on x86-64, Python 3.11)\n")
        return 2
    if wanted.child is not None:
        return _child(wanted.child, wanted.seconds)
    from tests.fuzz.targets import targets

    wanted_targets = [each.name for each in targets() if wanted.only in (None, each.name)]
    failed = [name for name in wanted_targets if _run(name, wanted.seconds)]
    sys.stdout.write(f"fuzz: {f'failed: {failed}' if failed else 'nothing but decoded and refused'}\n")
    return 1 if failed else 0


def folder(root: Path, target: str) -> Path:
    """Where the inputs of a target are kept."""
    return root / target.replace(" ", "-")


def _run(target: str, seconds: int) -> int:
    command = [sys.executable, "-m", "tests.fuzz.coverage", "--child", target, "--seconds", str(seconds)]
    return subprocess.run(command, check=False, env={**os.environ, "PYTHONHASHSEED": "0"}).returncode


def _child(name: str, seconds: int) -> int:
    import atheris

    with atheris.instrument_imports(include=["anabranch_sync", "anabranch_protos"]):
        from tests.fuzz.targets import targets
    (target,) = (each for each in targets() if each.name == name)
    corpus, crashers = folder(CORPUS, name), folder(CRASHERS, name)
    for each in (corpus, crashers):
        each.mkdir(parents=True, exist_ok=True)
    for sample in target.samples:
        if len(sample) <= INPUT_BYTES_MAX:
            (corpus / sha1(sample, usedforsecurity=False).hexdigest()).write_bytes(sample)

    def take(raw: bytes) -> None:
        with suppress(*target.refusals):
            target.take(raw)

    options = [
        "fuzz",
        str(corpus),
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_S_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-artifact_prefix={crashers}/",
        "-verbosity=0",
        "-print_final_stats=1",
    ]
    atheris.Setup(options, take)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
