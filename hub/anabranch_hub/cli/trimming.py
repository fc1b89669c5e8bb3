"""`trim`: let go of what only replicas that were away for long would still need, and can do without."""

import time

import click
from anabranch_cli import terminal
from anabranch_sync.ids import check_tenant

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import TENANT
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.store import KEEP_DAYS


@command("trim")
@TENANT
@click.option(
    "--keep-days",
    type=click.IntRange(min=0),
    help=f"Keep what was decided in so many days; {KEEP_DAYS} when nothing is said.",
)
@click.option("--before", type=click.IntRange(min=1), help="Trim what was decided before this position.")
@click.option("--dry-run", is_flag=True, help="Only tell what it would come to.")
async def trim(
    invocation: Invocation, tenant: str, keep_days: int | None, before: int | None, dry_run: bool
) -> None:
    """Trim the change log. No document, version, ledger row or audit leaf changes.

    The bodies of old changes go; who made each, when, why and what became of it stays, and a change that
    comes again is still recognised. An edge that has not heard yet what became of a trimmed change of its
    own gets its scope anew and loses nothing that it wrote. What was refused stays whole.

    \b
    anabranch-hub trim acme --dry-run
    anabranch-hub trim acme --keep-days 30
    """
    check_tenant(tenant)
    if keep_days is not None and before is not None:
        raise click.UsageError("give --keep-days or --before, not both", click.get_current_context())
    author = invocation.author
    async with reach.store(invocation) as store:
        trimmed = await store.trim(
            tenant,
            time.time_ns() // 1_000_000,
            keep_days=KEEP_DAYS if keep_days is None else keep_days,
            before=before,
            author=author,
            dry_run=dry_run,
        )
    if invocation.json:
        facts = {"upto": trimmed.upto, "changes": trimmed.changes, "body_bytes": trimmed.body_bytes}
        terminal.write_json({"dry_run": dry_run, **facts})
        return
    verb = "would trim" if dry_run else "ok"
    terminal.write(
        f"{terminal.painted(verb, 'yellow' if dry_run else 'green')} "
        f"{terminal.count(trimmed.changes, 'change')} up to position {trimmed.upto}, "
        f"{trimmed.body_bytes:,} bytes"
    )


COMMANDS = {"trim": trim}
