"""Commands on the merge ledger: `merges list`, `show`, `explain`, `restore`, `stats`.

The ledger has one row for each concurrent write that was decided: what competed, who wrote it, which
policy chose, what won.
"""

from typing import Any

import click
from anabranch_sync.document import Object, check_content
from anabranch_sync.ids import DocumentId, check_tenant
from anabranch_sync.policy import parse_policy

from anabranch_hub.cli import ledger_text, reach, terminal
from anabranch_hub.cli.arguments import MESSAGE, TENANT
from anabranch_hub.cli.documents import edit
from anabranch_hub.cli.filters import filtered, matching
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.errors import LedgerRowUnknown
from anabranch_hub.store import LedgerRow, Store, Stored
from anabranch_hub.store.reviews import with_candidate

LIMIT_DEFAULT = 50
LIMIT_MAX = 1_000
# Of each thing that rows have in common; a screen holds them all.
STATS_LIMIT_DEFAULT = 5

ROW = click.argument("row", type=click.IntRange(min=1), metavar="ID")


@click.group("merges")
def merges() -> None:
    """The merge ledger: what was written concurrently, who won and why."""


@command("list")
@click.option("--tenant", help="Only this tenant's.")
@filtered("--author", "--by")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="At most so many of each tenant, the latest first.",
)
@click.option("--before", type=click.IntRange(min=1), help="Only rows before this id: the next page.")
async def list_merges(
    invocation: Invocation, tenant: str | None, limit: int, before: int | None, **filters: Any
) -> None:
    """List decided conflicts, the latest first: the value that won and those that lost.

    \b
    anabranch-hub merges list --tenant acme --since 7d --unreviewed
    anabranch-hub merges list --tenant acme --namespace acme/prod --path /limits --edge shop-3
    """
    wanted = matching(**filters)
    found: list[tuple[str, LedgerRow]] = []
    async with reach.store(invocation) as store:
        for name in await _tenants(store, tenant):
            rows = await store.merges(name, wanted, before=before, limit=limit)
            found += [(name, row) for row in rows]
            if len(rows) == limit:
                terminal.say(f"{name}: the {limit} latest; more: --tenant {name} --before {rows[-1].id}")
    if invocation.json:
        terminal.write_json([ledger_text.json_row(name, row) for name, row in found])
        return
    if not found:
        terminal.say("no such conflict in the ledger")
        return
    table = [ledger_text.table_row(name, row) for name, row in found]
    for line in terminal.columns(table, heading=ledger_text.HEADING):
        terminal.write(line)


@command("show")
@TENANT
@ROW
async def show(invocation: Invocation, tenant: str, row: int) -> None:
    """Show one conflict whole: every candidate, who wrote it, when, on what basis, what was done about it."""
    async with reach.store(invocation) as store:
        found = await _row(store, tenant, row)
    if invocation.json:
        terminal.write_json(_json_whole(tenant, found))
        return
    for line in ledger_text.lines(found):
        terminal.write(terminal.one_line(line))


@command("explain")
@TENANT
@ROW
async def explain(invocation: Invocation, tenant: str, row: int) -> None:
    """Explain one conflict in a sentence, then the facts; `merges show` has long values whole.

    \b
    anabranch-hub merges explain acme 17
    """
    async with reach.store(invocation) as store:
        found = await _row(store, tenant, row)
    if invocation.json:
        explained = {"sentence": ledger_text.explanation(found), "facts": _json_whole(tenant, found)}
        terminal.write_json(explained)
        return
    terminal.write(terminal.one_line(ledger_text.explanation(found)))
    terminal.write()
    for line in ledger_text.lines(found, chars_max=ledger_text.FACT_CHARS_MAX):
        terminal.write(terminal.one_line(line))


@command("stats")
@click.option("--tenant", help="Only this tenant's.")
@filtered("--author", "--by")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=STATS_LIMIT_DEFAULT,
    show_default=True,
    help="How many of the most frequent to name.",
)
async def stats(invocation: Invocation, tenant: str | None, limit: int, **filters: Any) -> None:
    """Count conflicts: by policy, kind, namespace, edge, author and place, reviewed or not.

    \b
    anabranch-hub merges stats --tenant acme --since 7d
    """
    wanted = matching(**filters)
    async with reach.store(invocation) as store:
        counted = [
            (name, await store.merge_stats(name, wanted, limit=limit))
            for name in await _tenants(store, tenant)
        ]
    if invocation.json:
        terminal.write_json([ledger_text.json_stats(name, each) for name, each in counted])
        return
    for number, (name, each) in enumerate(counted):
        if number:
            terminal.write()
        for line in ledger_text.stats_lines(name, each):
            terminal.write(terminal.one_line(line))


@command("restore")
@TENANT
@ROW
@click.option(
    "--loser",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Which of the losing values, as `merges show` counts them.",
)
@MESSAGE
async def restore(invocation: Invocation, tenant: str, row: int, loser: int, message: str) -> None:
    """Bring a losing value back: a new change like any other, which the ledger row then names.

    \b
    anabranch-hub merges restore acme 17
    anabranch-hub merges restore acme 17 --loser 2 -m "the site was right"
    """
    async with reach.store(invocation) as store:
        found = await _row(store, tenant, row)
    if loser >= len(found.candidates):
        losers = terminal.count(len(found.candidates) - 1, "losing value")
        raise click.UsageError(f"--loser {loser} is refused: row {row} has {losers}")
    candidate = found.candidates[loser]

    def restored(document: DocumentId, stored: Stored | None) -> Object:
        content = {} if stored is None or stored.head is None else stored.head
        return check_content(document, with_candidate(content, candidate, parse_policy(found.policy)))

    await edit(invocation, tenant, found.document, restored, message or f"restore row {row}", restores=row)


async def _row(store: Store, tenant: str, row: int) -> LedgerRow:
    found = await store.merge(check_tenant(tenant), row)
    if found is None:
        raise LedgerRowUnknown(tenant, row)
    return found


def _json_whole(tenant: str, row: LedgerRow) -> dict[str, Any]:
    return {**ledger_text.json_row(tenant, row), "reviews": ledger_text.json_reviews(row)}


async def _tenants(store: Store, tenant: str | None) -> list[str]:
    if tenant is not None:
        return [check_tenant(tenant)]
    return [each.name for each in await store.tenants()]


for each in (list_merges, show, explain, restore, stats):
    merges.add_command(each)

COMMANDS = {"merges": merges}
