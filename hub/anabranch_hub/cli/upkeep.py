"""Commands for whoever keeps a hub: `migrate`, `doctor`."""

import click
from anabranch_cli import terminal

from anabranch_hub.cli import reach
from anabranch_hub.cli.invocation import Invocation, command

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@command("migrate")
async def migrate(invocation: Invocation) -> None:
    """Bring every schema of the Postgres up to this release; safe to repeat, and while hubs run.

    A hub does this at its start; this does it before, so that a start takes no longer than usual.
    """
    async with reach.store(invocation) as store:
        tenants = await store.tenants()
    if invocation.json:
        terminal.write_json({"migrated": True, "tenants": len(tenants)})
    else:
        terminal.write(
            f"{terminal.painted('ok', 'green')} this hub's schema and those of "
            f"{terminal.count(len(tenants), 'tenant')} are up to date"
        )


@command("doctor")
async def doctor(invocation: Invocation) -> None:
    """Examine the hub: data directory, servers, migrations, certificates, durability, logs, disk, clock.

    Ends with 0 when nothing failed; warnings are allowed.
    """
    from anabranch_hub.operations.doctor import Finding, State, examine

    folder = reach.examined_folder(invocation)
    findings: list[Finding] = []
    async for finding in examine(folder, lambda: reach.located(invocation)[1]):
        findings.append(finding)
        if not invocation.json:
            state = terminal.painted(f"{finding.state:<8}", _COLOURS[finding.state])
            terminal.write(f"{state} {finding.check:<16} {terminal.one_line(finding.message)}")
            terminal.flush()
    failed = [finding for finding in findings if finding.state is State.FAILED]
    if invocation.json:
        rows = [{"check": each.check, "state": str(each.state), "message": each.message} for each in findings]
        terminal.write_json({"ok": not failed, "findings": rows})
    if failed:
        raise click.exceptions.Exit(failed[0].exit_code)


COMMANDS = {"migrate": migrate, "doctor": doctor}
