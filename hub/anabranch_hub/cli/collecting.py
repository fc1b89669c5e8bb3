"""`collect`: take deletions that every edge has seen out of what travels."""

import click
from anabranch_cli import terminal
from anabranch_sync.ids import check_tenant

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import TENANT
from anabranch_hub.cli.invocation import Invocation, command


@command("collect")
@TENANT
@click.option("--dry-run", is_flag=True, help="Only tell what it would come to.")
async def collect(invocation: Invocation, tenant: str, dry_run: bool) -> None:
    """Collect the tombstones of what was deleted, up to where every edge has seen it.

    They no longer travel in snapshots. Nothing else changes: not what documents say, nor their versions, nor
    the ledger. A write of somebody who had not seen a deletion still meets it, and the ledger has the row.
    An edge that is gone for good holds everything back: `edge retire` it.

    A quarter later, once no edge can bring a change that is older, what was collected is forgotten. A change
    of a retired edge or an old disk that is older all the same is refused, whole, with the reason.

    \b
    anabranch-hub collect acme --dry-run
    anabranch-hub edge retire acme store-17
    anabranch-hub collect acme
    """
    check_tenant(tenant)
    author = invocation.author
    async with reach.store(invocation) as store:
        collected = await store.collect(tenant, author=author, dry_run=dry_run)
    if invocation.json:
        terminal.write_json(
            {
                "dry_run": dry_run,
                "upto": collected.upto,
                "tombstones": collected.tombstones,
                "documents": collected.documents,
                "held_by": list(collected.held_by),
                "forgotten": collected.forgotten,
            }
        )
        return
    verb = "would collect" if dry_run else "ok"
    terminal.write(
        f"{terminal.painted(verb, 'yellow' if dry_run else 'green')} "
        f"{terminal.count(collected.tombstones, 'tombstone')} of "
        f"{terminal.count(collected.documents, 'document')} up to position {collected.upto}"
    )
    if collected.held_by:
        names = " ".join(collected.held_by)
        terminal.say(f"no edge has acknowledged less than {names}; one that is gone for good can be retired")


COMMANDS = {"collect": collect}
