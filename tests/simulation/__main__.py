"""Lives of fleets drawn from seeds, and whether they kept every promise.

python -m tests.simulation --seeds 500            many lives
python -m tests.simulation --seed 11              one of them, with its timeline
python -m tests.simulation --planted              are bugs of known kinds found?
"""

import argparse
import json
import sys
import traceback
from pathlib import Path

from anabranch_hub.simulation.fleet import Fleet
from anabranch_hub.simulation.promise import Violation
from anabranch_hub.simulation.running import Tally, live_all, lived
from anabranch_hub.simulation.shrinking import Case, parse_case, shrunk

from tests.simulation.planted import BUGS, hunt_all

TOLD_EVERY = 250
# Shrinking lives hundreds of lives, and the first failures usually have one reason.
SHRUNK_MAX = 3
KEPT = Path(__file__).parent / "seeds.txt"


def main() -> int:
    """Return 1 when a seed breaks a promise."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, help="replay this one and print its timeline")
    parser.add_argument(
        "number", nargs="*", help="with --seed: other numbers of its life, as seeds.txt has them: edges=2"
    )
    parser.add_argument("--seeds", type=int, default=500, help="how many (default 500)")
    parser.add_argument("--start", type=int, default=0, help="the first one (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="in how many processes (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--planted", action="store_true", help="only hunt for the planted bugs")
    parser.add_argument("--no-planted", action="store_true", help="leave the planted bugs out")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _replay(parse_case(" ".join([str(arguments.seed), *arguments.number])))
    tally = Tally()
    seeds = range(arguments.start, arguments.start + (0 if arguments.planted else arguments.seeds))
    for each in live_all(seeds, arguments.jobs):
        tally.add(each)
        if each.broken:
            sys.stderr.write(f"{each.broken}: {each.reason}\n")
            if len(tally.failed) <= SHRUNK_MAX:
                _show_shrunk(each.seed)
        if tally.seeds % TOLD_EVERY == 0:
            sys.stderr.write(f"{tally.seeds} of {len(seeds)} seeds, {len(tally.failed)} failed\n")
    found = 0
    for hunt in () if arguments.no_planted else hunt_all(arguments.jobs):
        found += hunt.seed is not None
        shown = f"NOT FOUND {hunt.reason}" if hunt.seed is None else f"found by {hunt.reason}"
        sys.stderr.write(f"planted: {hunt.bug}: {shown}\n")
    planted = 0 if arguments.no_planted else len(BUGS)
    if arguments.json:
        counts = {"planted_bugs_found": found, "planted_bugs": planted}
        sys.stdout.write(json.dumps(tally.as_json() | counts, indent=2) + "\n")
    else:
        years = tally.as_json()["device_years"]
        sys.stdout.write(
            f"{tally.seeds} seeds, {years} device-years, {len(tally.failed)} failed, "
            f"{found} of {planted} planted bugs found\n"
        )
    return 1 if tally.failed or found < planted else 0


def _show_shrunk(seed: int) -> None:
    """Print the smallest life that fails as this seed's does, and keep it for every later run."""
    case = shrunk(seed)
    fleet = Fleet(case.seed, case.changed)
    reason = lived(fleet).reason
    sys.stderr.write("\n".join(fleet.timeline) + f"\nthe smallest that fails: {reason}\n")
    sys.stderr.write(f"replay: python -m tests.simulation --seed {case}\n")
    with KEPT.open("a") as kept:
        kept.write(f"{case}  # {reason}\n")


def _replay(case: Case) -> int:
    fleet = Fleet(case.seed, case.changed)
    try:
        fleet.run()
    except Violation as error:
        sys.stdout.write("\n".join(fleet.timeline) + f"\n{error}\n")
        return 1
    except Exception:  # noqa: BLE001 - shown with its timeline, for the person who replays
        sys.stdout.write("\n".join(fleet.timeline) + "\n")
        traceback.print_exc(file=sys.stdout)
        return 1
    sys.stdout.write("\n".join(fleet.timeline) + f"\nseed {case}: {fleet.life}\nall promises held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
