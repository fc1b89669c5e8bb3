"""The command `serve`: run a hub until it is told to stop."""

import asyncio
import logging
import os
import signal
from dataclasses import asdict

import click
from anabranch_cli import terminal
from anabranch_protos.invitation import PORT_MAX

from anabranch_hub.cli import reach
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.operations import logs
from anabranch_hub.operations.garbage import look_rarely
from anabranch_hub.settings import HEALTH_DEFAULT, LISTEN_DEFAULT, Settings, settings
from anabranch_hub.store import KEEP_DAYS

log = logging.getLogger(__name__)

# A closed terminal is a polite request to go, like the other two.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@command("serve")
@click.option(
    "--listen",
    default=LISTEN_DEFAULT,
    show_default=True,
    metavar="HOST:PORT",
    help="Where edges exchange; port 0 takes any.",
)
@click.option(
    "--enrol-port",
    type=click.IntRange(0, PORT_MAX),
    metavar="PORT",
    help="Where new edges enrol.  [default: the port after]",
)
@click.option(
    "--health",
    default=HEALTH_DEFAULT,
    show_default=True,
    metavar="HOST:PORT|off",
    help="Where /health/live and /health/ready answer.",
)
@click.option(
    "--host-name",
    multiple=True,
    metavar="NAME",
    help="A name or address by which edges call this hub; repeat it.  [default: this machine's]",
)
@click.option(
    "--vault",
    metavar="URL",
    help="A Vault of your own; its login comes from the environment.  [$ANABRANCH_VAULT]",
)
@click.option(
    "--restored",
    is_flag=True,
    help="Before anybody is let in: as `anabranch-hub restored`, for Postgres came from a backup. Once only.",
)
@click.option(
    "--trim-after",
    type=click.IntRange(1),
    default=KEEP_DAYS,
    show_default=True,
    metavar="DAYS",
    help="The change log is trimmed once a day of what is older, as by `anabranch-hub trim`.",
)
@click.option("--no-trim", is_flag=True, help="Never trim by itself.")
@click.option("--no-collect", is_flag=True, help="Never `anabranch-hub collect` by itself, once a day.")
@click.option(
    "--log-format",
    type=click.Choice([str(each) for each in logs.LogFormat]),
    default=str(logs.LogFormat.TEXT),
    show_default=True,
    help="How the log on standard error looks.",
)
async def serve(
    invocation: Invocation,
    listen: str,
    enrol_port: int | None,
    health: str,
    host_name: tuple[str, ...],
    vault: str | None,
    restored: bool,
    trim_after: int,
    no_trim: bool,
    no_collect: bool,
    log_format: str,
) -> None:
    """Run a hub, until SIGTERM, SIGINT (Ctrl-C) or SIGHUP.

    Without a Postgres and a Vault of your own it brings its own, below the data directory. For your own,
    name both:

    \b
    anabranch-hub serve --data-dir /var/lib/anabranch
    anabranch-hub serve --data-dir /var/lib/anabranch --postgres @/etc/anabranch/dsn --vault https://vault:8200

    \b
    Vault's login: $ANABRANCH_VAULT_ROLE_ID and $ANABRANCH_VAULT_SECRET_ID, or $ANABRANCH_VAULT_TOKEN,
    each a value or @FILE; $ANABRANCH_VAULT_CA names the roots of a private CA.

    With --json one line on standard output tells the addresses once the hub serves.
    """
    parsed = settings(
        {
            "data_dir": reach.data_dir(invocation),
            "listen": listen,
            "enrol_port": enrol_port,
            "health": health,
            "host_name": host_name,
            "postgres": invocation.postgres,
            "vault": vault,
            "restored_by": invocation.author if restored else "",
            "trim_after": trim_after,
            "no_trim": no_trim,
            "no_collect": no_collect,
            "log_format": log_format,
            "verbose": invocation.verbose,
        },
        os.environ,
    )
    logs.configure(parsed.log_format, verbose=parsed.verbose)
    await _until_told_to_stop(parsed, as_json=invocation.json)


async def _until_told_to_stop(parsed: Settings, *, as_json: bool) -> None:
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(_serve(parsed, as_json=as_json), name="serve")
    told = False

    def stop(number: signal.Signals) -> None:
        nonlocal told
        # Once: a second cancellation would break off the stopping, and leave servers behind.
        log.info("stopping" if not told else "still stopping", extra={"signal": number.name})
        if not told:
            told = True
            serving.cancel()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await serving
    except asyncio.CancelledError:
        if not told:
            raise
    log.info("stopped")


async def _serve(parsed: Settings, *, as_json: bool) -> None:
    from anabranch_hub.wiring import running_hub

    async with running_hub(parsed, log.info) as here:
        look_rarely()
        log.info("serving", extra={"listen": here.listen, "enrol": here.enrol, "health": here.health})
        if as_json:
            terminal.write_json(asdict(here), indent=None)
            terminal.flush()
        await asyncio.Event().wait()


COMMANDS = {"serve": serve}
