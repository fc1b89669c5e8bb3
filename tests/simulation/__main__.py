"""Run seeds: ``python -m tests.simulation --seeds 500`` or replay one with its timeline: ``--seed N``."""

import argparse
import sys
import traceback

from anabranch_hub.simulation.fleet import Fleet, Violation


def main() -> int:
    """Return 1 when a seed breaks a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one and print its timeline")
    parser.add_argument("--seeds", type=int, default=500, help="how many (default 500)")
    parser.add_argument("--start", type=int, default=0, help="the first one (default 0)")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _replay(arguments.seed)
    failed = []
    for seed in range(arguments.start, arguments.start + arguments.seeds):
        try:
            Fleet(seed).run()
        except Exception as error:  # noqa: BLE001 - any failure is a finding, and the next seed must run
            failed.append(seed)
            sys.stdout.write(f"seed {seed}: {type(error).__name__}: {error}\n")
    sys.stdout.write(f"{arguments.seeds} seeds, {len(failed)} failed\n")
    return 1 if failed else 0


def _replay(seed: int) -> int:
    fleet = Fleet(seed)
    try:
        fleet.run()
    except Violation as error:
        sys.stdout.write("\n".join(fleet.timeline) + f"\n{error}\n")
        return 1
    except Exception:  # noqa: BLE001 - shown with its timeline, for the person who replays
        sys.stdout.write("\n".join(fleet.timeline) + "\n")
        traceback.print_exc(file=sys.stdout)
        return 1
    sys.stdout.write("\n".join(fleet.timeline) + f"\nseed {seed}: {fleet.life}\nall promises held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
