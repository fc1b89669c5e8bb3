"""The command `demo`: the whole house at work on a real catalogue, over links that break."""

import shlex
from importlib import import_module

import click

from anabranch_hub.cli.invocation import Invocation, command

# Each edge is a process of some 60 MB; more of them than this prove nothing more on one machine.
EDGES_MAX = 50


# Evenly over the catalogue; with all of it the demo takes half as long again and shows nothing more.
DOCUMENTS = 1_500


@command("demo")
@click.option(
    "--edges",
    type=click.IntRange(2, EDGES_MAX),
    default=5,
    show_default=True,
    help="How many edges take part.",
)
@click.option(
    "--documents",
    type=click.IntRange(min=1),
    default=DOCUMENTS,
    show_default=True,
    help="How many documents of the catalogue to import; 2,377 and more are all there are.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Repeat the edits and cuts of another run.")
@click.option(
    "--power-rig",
    metavar="COMMAND",
    default="",
    help="Writes to a replica on a modelled disk and cuts its power; `make demo` gives the one of the tests.",
)
async def demo(invocation: Invocation, edges: int, documents: int, seed: int | None, power_rig: str) -> None:
    """Run a real hub and real edges: offline edits, cut links, a kill; then prove that all agree.

    A losing value is restored through the ledger; a device comes back with an old disk, another is cloned,
    a third loses power, and the hub comes back from a backup. The log is verified from a file. Exits
    non-zero when anything diverged, an acknowledged write is missing, or tampering goes unseen.
    """
    run = import_module("anabranch_hub.demo.run").run
    proved = await run(
        edges=edges,
        documents=documents,
        seed=seed,
        data_dir=invocation.data_dir,
        power_rig=shlex.split(power_rig),
        as_json=invocation.json,
    )
    if not proved:
        raise click.exceptions.Exit(1)


COMMANDS = {"demo": demo}
