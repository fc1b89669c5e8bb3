"""``python -m benchmarks.peers``: the same work for anabranch and its peers, in one run; a table in Markdown.

How it goes is told on standard error. A peer that cannot be had here, or does not come to an end in its time,
has a row that says so; the others go on.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.answering import answered, rounded
from benchmarks.peers import install, works
from benchmarks.peers.table import Column, table
from benchmarks.run import run
from benchmarks.sizes import FULL, TINY, Sizes

RECORDED = Path(__file__).parents[1] / "peers.json"
FOLDER = Path(__file__).parents[2] / ".peers"


def main() -> int:
    """Measure; the exit code. 1: ours could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--tiny", action="store_true", help="a few of everything: shows that it works")
    parser.add_argument("--only", metavar="WORD", help="only columns with this word in their name")
    parser.add_argument(
        "--peers-folder", type=Path, default=FOLDER, help="where the peers are (default .peers)"
    )
    parser.add_argument(
        "--folder", type=Path, help="where databases are laid for the run: the disk to measure"
    )
    parser.add_argument(
        "--record", action="store_true", help="keep the answers in peers.json, of --only beside the others"
    )
    arguments = parser.parse_args()
    sizes = TINY if arguments.tiny else FULL
    began_s = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began_s:6.1f} s  {line}\n")
        sys.stderr.flush()

    def chosen(name: str) -> bool:
        return not arguments.only or arguments.only.lower() in name.lower()

    with tempfile.TemporaryDirectory(prefix="anabranch-peers-", dir=arguments.folder) as folder:
        work = works.Work.laid(Path(folder), sizes)
        columns = []
        install.lay_drivers(arguments.peers_folder)
        for number, offer in enumerate(install.offers(arguments.peers_folder)):
            if chosen(offer.peer.name):
                place = Path(folder, str(number))
                columns.append(_asked(offer, arguments.peers_folder, work, sizes, place, say))
    ours = answered(partial(run, sizes), arguments.folder) if chosen("anabranch") else {}
    if ours is None:
        return 1
    answers: dict[str, Any] = {
        "when": f"{history.today()}, {history.machine()}",
        "ours": ours,
        "peers": {each.name: {"figures": rounded(each.figures), "missing": each.missing} for each in columns},
    }
    if arguments.record and arguments.only:
        _record_apart(answers)
    elif arguments.record:
        RECORDED.write_text(json.dumps(answers, indent=1) + "\n")
    if arguments.json:
        sys.stdout.write(json.dumps(answers, indent=2) + "\n")
    else:
        sys.stdout.write(table(columns, ours))
    return 0


def _record_apart(answers: Mapping[str, Any]) -> None:
    """Replace the columns that were asked again, and say so; of ours nothing, for all ratios are to it."""
    recorded = json.loads(RECORDED.read_text())
    for name, column in answers["peers"].items():
        column["missing"]["all"] = f"measured in a run of its own, {answers['when']}"
        recorded["peers"][name] = column
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")


def _asked(
    offer: install.Offer,
    folder: Path,
    work: works.Work,
    sizes: Sizes,
    place: Path,
    say: works.Say,
) -> Column:
    """What a peer answers, if it can be had."""
    try:
        for fetch in offer.needs:
            fetch(folder)
    except install.CannotInstall as error:
        say(f"{offer.peer.name}: {error}")
        return Column(offer.peer.name, {}, {"everything": str(error)})
    answers = asyncio.run(works.ask(offer.peer, work, sizes, place, say))
    return Column(offer.peer.name, answers.figures, answers.missing)


if __name__ == "__main__":
    sys.exit(main())
