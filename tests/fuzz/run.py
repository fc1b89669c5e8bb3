"""The run: a child does the cases under bounds, its parent tells what became of it."""

import json
import mmap
import random
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from anabranch_sync.errors import WireError

from tests.fuzz.targets import Target, targets

# What all cases together may add to the child's address space. A sample has a few kilobytes, and the
# objects made of it a hundred times as much at most; 256 MiB more can only be bloat.
MEMORY_BYTES_MAX = 256 * 1024 * 1024
# No case needs a hundredth of it: a bound on life, not on speed.
CASE_CPU_S_MAX = 10.0
_PROGRESS_CASES = 20_000
_COUNTER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Tally:
    """How the cases ended, by target and outcome, and the greatest resident size of the child."""

    outcomes: Counter[str]
    peak_bytes: int


def fuzz(frames: int, seed: int, counter_path: str | None = None) -> int:
    """Try `frames` cases; 0 when none failed. `counter_path` is given to the child only."""
    if counter_path is not None:
        return _child(frames, seed, Path(counter_path))
    with tempfile.NamedTemporaryFile() as counter:
        counter.write(bytes(_COUNTER_BYTES))
        counter.flush()
        command = [sys.executable, "-m", "tests.fuzz", "--frames", str(frames), "--seed", str(seed)]
        child = subprocess.run([*command, "--child", counter.name], check=False)
        if child.returncode < 0:
            case = int.from_bytes(Path(counter.name).read_bytes(), "little")
            reason = signal.Signals(-child.returncode).name
            hint = f", over {CASE_CPU_S_MAX:.0f} s of CPU" if reason == "SIGPROF" else ""
            _say(f"case {case} ended the process: {reason}{hint}. {_replay(seed, case)}")
            return 1
        return child.returncode


def play(seed: int, case: int) -> int:
    """Play one case again, in this process and without bounds."""
    target, raw = _case(targets(), seed, case)
    _tell(f"{target.name}: {len(raw)} bytes: {raw[:400]!r}")
    try:
        _tell(f"accepted: {target.take(raw)!r:.2000}")
    except target.refusals as error:
        _tell(f"refused: {type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - the one thing to be shown
        traceback.print_exc()
        return 1
    return 0


def tally(frames: int, seed: int, *, progress: mmap.mmap | None = None) -> Tally:
    """Try the cases in this process. Raises AssertionError naming the first that fails."""
    all_targets = targets()
    outcomes: Counter[str] = Counter()
    for case in range(frames):
        if progress is not None:
            progress[:_COUNTER_BYTES] = case.to_bytes(_COUNTER_BYTES, "little")
            if case and case % _PROGRESS_CASES == 0:
                _say(f"fuzz: {case} of {frames}, {_told(outcomes)}")
        target, raw = _case(all_targets, seed, case)
        # The default action of SIGPROF ends the process, also inside a loop in C.
        signal.setitimer(signal.ITIMER_PROF, CASE_CPU_S_MAX)
        try:
            outcome = _outcome(target, raw)
        except Exception as error:
            raise AssertionError(
                f"{target.name} let {type(error).__name__} out: {error}. {_replay(seed, case)}"
            ) from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        outcomes[outcome] += 1
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Tally(outcomes, peak_bytes)


def _case(all_targets: tuple[Target, ...], seed: int, case: int) -> tuple[Target, bytes]:
    rng = random.Random(f"{seed}:{case}")
    target = all_targets[case % len(all_targets)]
    return target, target.mutate(rng.choice(target.samples), rng)


def _outcome(target: Target, raw: bytes) -> str:
    try:
        target.take(raw)
    except target.refusals as error:
        if isinstance(error, WireError) and isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from error  # refused, but only because memory ran out
        return f"{target.name} refused"
    return f"{target.name} accepted"


def _child(frames: int, seed: int, counter_path: Path) -> int:
    targets()  # what is imported and built once does not count
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES_MAX, used + MEMORY_BYTES_MAX))
    with counter_path.open("r+b") as counter, mmap.mmap(counter.fileno(), _COUNTER_BYTES) as progress:
        try:
            result = tally(frames, seed, progress=progress)
        except AssertionError as error:
            _say(f"fuzz: {error}")
            return 1
    by_target = {name: result.outcomes[name] for name in sorted(result.outcomes)}
    _tell(
        f"fuzz: {frames} cases of seed {seed}: {_told(result.outcomes)}, nothing else; "
        f"peak {result.peak_bytes // 2**20} MiB resident; {json.dumps(by_target)}"
    )
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _told(outcomes: Counter[str]) -> str:
    refused = sum(count for name, count in outcomes.items() if name.endswith("refused"))
    return f"{refused} refused, {outcomes.total() - refused} accepted"


def _replay(seed: int, case: int) -> str:
    return f"To play it again: python -m tests.fuzz --seed {seed} --only {case}"
