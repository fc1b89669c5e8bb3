"""Commands on the way to the hub: `relay use`, `relay leave`."""

import click

from anabranch.cli import terminal
from anabranch.cli.invocation import Invocation, command, common_options


@click.group("relay", params=common_options(with_variables=False))
def relay() -> None:
    """Reach the hub through another edge of this site, or by itself again.

    \b
    anabranch relay use 10.0.0.5:7443
    anabranch relay leave
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

COMMANDS = {"relay": relay}
