"""Commands on how long the past can be read: `retention show`, `retention set`, `retention fold`."""

import time

import click
from anabranch_cli import terminal
from anabranch_cli.failure import ExitCode
from anabranch_sync.ids import check_tenant

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import TENANT
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.store import Folded


@click.group("retention")
def retention() -> None:
    """How long versions can be read. Of what is older, who changed it and why is still told."""


@command("show")
@TENANT
async def show(invocation: Invocation, tenant: str) -> None:
    """Tell for how many days versions can be read, and up to which position they are folded."""
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        kept = await store.retention(tenant)
    if invocation.json:
        terminal.write_json({"tenant": tenant, "days": kept.days, "folded_seq": kept.folded_seq})
        return
    folded = f"folded up to position {kept.folded_seq}" if kept.folded_seq else "nothing was folded yet"
    terminal.write(f"{tenant}: versions can be read for {kept.days} days; {folded}")


@command("set")
@TENANT
@click.option("--days", type=int, required=True, help="For how many days versions can be read; at least 90.")
async def set_retention(invocation: Invocation, tenant: str, days: int) -> None:
    """Say for how many days versions can be read. What is folded already does not come back.

    \b
    anabranch-hub retention set acme --days 365
    """
    check_tenant(tenant)
    author = invocation.author
    async with reach.store(invocation) as store:
        await store.set_retention(tenant, days, author=author)
    if invocation.json:
        terminal.write_json({"tenant": tenant, "days": days})
    else:
        terminal.write(f"{terminal.painted('ok', 'green')} {tenant}: {days} days")


@command("fold")
@TENANT
@click.option("--dry-run", is_flag=True, help="Only tell what it would come to.")
async def fold(invocation: Invocation, tenant: str, dry_run: bool) -> None:
    """Fold what is older than the tenant keeps it. A hub does this by itself once a day.

    Of each document the state at the fold is kept whole, as the oldest that can be read, and the patches
    that led to it go. Safe to repeat. A document whose history is damaged is left as it is and named.

    \b
    anabranch-hub retention fold acme --dry-run
    """
    check_tenant(tenant)
    author = invocation.author
    async with reach.store(invocation) as store:
        folded = await store.fold(tenant, time.time_ns() // 1_000_000, author=author, dry_run=dry_run)
    if invocation.json:
        terminal.write_json(_described(folded, dry_run=dry_run))
    else:
        verb = "would fold" if dry_run else "ok"
        terminal.write(f"{terminal.painted(verb, 'yellow' if dry_run else 'green')} {_told(folded)}")
    for document in folded.damaged:
        terminal.say(f"left as it is, for its history is not what was recorded: {document}")
    if folded.damaged:
        raise click.exceptions.Exit(ExitCode.UNVERIFIED)


def _told(folded: Folded) -> str:
    return (
        f"{terminal.count(folded.versions, 'version')} of {terminal.count(folded.documents, 'document')} "
        f"up to position {folded.upto}, {folded.patch_bytes:,} bytes of patches"
    )


def _described(folded: Folded, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "upto": folded.upto,
        "documents": folded.documents,
        "versions": folded.versions,
        "patch_bytes": folded.patch_bytes,
        "damaged": list(folded.damaged),
    }


retention.add_command(show)
retention.add_command(set_retention)
retention.add_command(fold)

COMMANDS = {"retention": retention}
