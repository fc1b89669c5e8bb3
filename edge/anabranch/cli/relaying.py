"""Commands on the way to the hub: `relay use`, `relay leave`; on a relay: `relay cache`, `relay clear`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal

from anabranch.cli.invocation import Invocation, command, common_options

if TYPE_CHECKING:
    from anabranch.part_cache import Holding, PartCache


@click.group("relay", params=common_options(with_variables=False))
def relay() -> None:
    """Reach the hub through another edge of this site, or by itself again; or look after being that edge.

    \b
    anabranch relay use 10.0.0.5:7443
    anabranch relay leave
    anabranch relay cache
    anabranch relay clear
    """


@command("use")
@click.argument("address", metavar="HOST:PORT")
def use(invocation: Invocation, address: str) -> None:
    """Reach the hub through the relay at HOST:PORT from the next connection on.

    Whoever answers there must have a certificate of this edge's hub as a relay of its tenant. Nothing
    is enrolled anew. An agent that runs has to be started again.
    """
    from anabranch.enrol import split_address

    split_address(address)
    _go(invocation, address)


@command("leave")
def leave(invocation: Invocation) -> None:
    """Call the hub itself from the next connection on."""
    _go(invocation, "")


@command("cache")
def cache(invocation: Invocation) -> None:
    """What this relay keeps of snapshots for its children, and what its own link was spared by that.

    \b
    anabranch relay cache
    anabranch relay cache --json | jq .saved_bytes
    """
    from anabranch.part_cache import PARTS_BYTES_MAX

    holding = _cache_of(invocation).holding()
    if invocation.json:
        limit = {"limit_bytes": PARTS_BYTES_MAX, "saved_bytes": holding.counts.saved_bytes}
        terminal.write_json({**_told(holding), **asdict(holding.counts), **limit})
        return
    coming = f", {holding.incomplete:,} more on the way" if holding.incomplete else ""
    terminal.write(
        f"{terminal.count(holding.parts, 'part')}, {terminal.size(holding.size_bytes)} of "
        f"{terminal.size(PARTS_BYTES_MAX)}{coming}"
    )
    counts = holding.counts
    if counts.served_bytes:
        terminal.write(
            f"edges here got {terminal.size(counts.served_bytes)}, for which this relay fetched "
            f"{terminal.size(counts.fetched_bytes)}: {terminal.size(counts.saved_bytes)} saved"
        )


@command("clear")
def clear(invocation: Invocation) -> None:
    """Remove from this relay's disk what it keeps for its children, and begin to count anew.

    Nothing is lost: what a child lacks is fetched again. A relay may run meanwhile.
    """
    held = _cache_of(invocation).clear()
    if invocation.json:
        terminal.write_json(_told(held))
        return
    removed = f"{terminal.count(held.parts + held.incomplete, 'part')}, {terminal.size(held.size_bytes)}"
    terminal.write(f"{terminal.painted('ok', 'green')} removed {removed}")


def _cache_of(invocation: Invocation) -> "PartCache":
    """Raises IdentityUnusable where there is no edge."""
    from anabranch.identity import identity_folder, read_identity
    from anabranch.part_cache import PartCache, parts_folder

    read_identity(identity_folder(invocation.replica))
    return PartCache(parts_folder(invocation.replica))


def _told(holding: "Holding") -> dict[str, int]:
    return {"parts": holding.parts, "incomplete": holding.incomplete, "size_bytes": holding.size_bytes}


def _go(invocation: Invocation, via: str) -> None:
    from anabranch.identity import go_via, identity_folder, read_identity

    folder = identity_folder(invocation.replica)
    identity = go_via(folder, read_identity(folder), via)
    if invocation.json:
        terminal.write_json({"hub": identity.address, "via": via or None})
        return
    way = f"through the relay at {via}" if via else "without a relay"
    terminal.write(f"{terminal.painted('ok', 'green')} the hub at {identity.address} is reached {way}")


relay.add_command(use)
relay.add_command(leave)
relay.add_command(cache)
relay.add_command(clear)

COMMANDS = {"relay": relay}
