"""The command `simulate`: an incident of one's own fleet, lived again as often as one likes."""

import signal
from pathlib import Path

import click
from anabranch_cli import terminal
from anabranch_sync.value import Json

from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.simulation.incident import Incident
from anabranch_hub.simulation.promise import Promise
from anabranch_hub.simulation.running import Lived, Tally, lived
from anabranch_hub.simulation.topology import Topology, TopologyRefused, parse_topology

# A day of lives on some machines: more is a slip of the finger.
SEEDS_MAX = 1_000_000
# Nobody writes more than some KiB of a fleet.
FILE_BYTES_MAX = 1 << 20
TOLD_EVERY = 50


@command("simulate")
@click.option(
    "--topology",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="What the fleet is and what happens to it: a TOML or .json file.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The first seed.")
@click.option(
    "--seeds",
    type=click.IntRange(1, SEEDS_MAX),
    help="Live so many, without timelines; otherwise one, with it.",
)
async def simulate(invocation: Invocation, topology: Path, seed: int, seeds: int | None) -> None:
    """Live an incident again: your edges, their links, disks and clocks, in virtual time.

    The exchange is the one that runs; links, disks and clocks are modelled, and no hub is needed. What the
    file leaves open is drawn from the seed; the same seed gives the same life. Exits with 8 when a promise
    was broken: report the file and the seed.

    \b
    anabranch-hub simulate --topology fleet.toml --seed 7
    anabranch-hub simulate --topology fleet.toml --seeds 500 --json
    """
    # A life never waits, and asyncio tells of Ctrl-C where something does.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    described = parse_topology(str(topology), _read(topology))
    tally = Tally()
    if seeds is None:
        life = Incident(described, seed)
        tally.add(lived(life))
        for line in life.timeline:
            terminal.say(line)
    else:
        _live_all(described, range(seed, seed + seeds), tally)
    if invocation.json:
        terminal.write_json(tally.as_json())
    else:
        _tell(tally)
    if tally.failed:
        raise click.exceptions.Exit(8)


def _live_all(topology: Topology, seeds: range, tally: Tally) -> None:
    for seed in seeds:
        one = lived(Incident(topology, seed))
        tally.add(one)
        if one.broken:
            terminal.say(_told(one))
        if tally.seeds % TOLD_EVERY == 0:
            terminal.say(f"{tally.seeds} of {len(seeds)} seeds, {len(tally.failed)} broke a promise")


def _told(one: Lived) -> str:
    promise = Promise[one.broken].value if one.broken in Promise.__members__ else one.broken
    return f"broken: {promise}: {one.reason}"


def _tell(tally: Tally) -> None:
    found: dict[str, Json] = tally.as_json()
    lives = "1 life" if tally.seeds == 1 else f"{tally.seeds} lives"
    terminal.write(f"{lives}, {found['fleet_days']} days, {found['rounds']} rounds of exchange")
    terminal.write(
        "; ".join(f"{kind} {count}" for kind, count in sorted(tally.faults.items())) or "no faults"
    )
    for one in tally.failed:
        terminal.write(_told(one))
    if not tally.failed:
        terminal.write("every promise was kept: all replicas equal, nothing lost, nothing stuck")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)  # a pipe or a device has no size to ask for
        if len(content) > FILE_BYTES_MAX:
            raise TopologyRefused(str(file), "", f"is longer than {FILE_BYTES_MAX} bytes")
        return content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TopologyRefused(str(file), "", f"cannot be read: {error}") from error


COMMANDS = {"simulate": simulate}
