"""Commands on the merge ledger: `merges list`, `show`, `explain`, `accept`, `restore`, `stats`.

The ledger has one row for each concurrent write that was decided: what competed, who wrote it, which
policy chose, what won.
"""

import sys
from collections.abc import Sequence
from typing import Any

import click
from anabranch_cli import terminal
from anabranch_cli.options import MESSAGE
from anabranch_sync.errors import AnabranchError
from anabranch_sync.ids import check_tenant
from anabranch_sync.value import INT_MAX

from anabranch_hub.cli import comparing, ledger_text, reach
from anabranch_hub.cli.arguments import TENANT, from_afar
from anabranch_hub.cli.documents import tell_written
from anabranch_hub.cli.filters import filtered, matching
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.operations.ledger import ACCEPTED_MAX, CANDIDATE_DEFAULT, Ledger
from anabranch_hub.store import ALL_ROWS, LedgerRow, Matching

# A page of the store (`store.ledger.MERGES_MAX`), and what a person may want to see of it.
LIMIT_DEFAULT = 50
LIMIT_MAX = 1_000
# Of each thing that rows have in common; a screen holds them all.
STATS_LIMIT_DEFAULT = 5
# Ids that one line names.
NAMED_MAX = 20

ID = click.IntRange(1, INT_MAX)
ROW = click.argument("row", type=ID, metavar="ID")


@click.group("merges")
def merges() -> None:
    """The merge ledger: what was written concurrently, who won and why."""


@command("list")
@click.option("--tenant", help="Only this tenant's.")
@filtered
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="At most so many of each tenant, the latest first.",
)
@click.option("--before", type=ID, help="Only rows before this id: the next page.")
@from_afar
async def list_merges(
    invocation: Invocation,
    far: reach.Far | None,
    tenant: str | None,
    limit: int,
    before: int | None,
    **filters: Any,
) -> None:
    """List decided conflicts, the latest first: the value that won and those that lost.

    \b
    anabranch-hub merges list --tenant acme --since 7d --unreviewed
    anabranch-hub merges list --tenant acme --namespace acme/prod --path /limits --edge shop-3
    """
    wanted = matching(**filters)
    found: list[tuple[str, LedgerRow]] = []
    async with reach.ledger(invocation, far) as ledger:
        for name in await _tenants(ledger, tenant):
            rows = await ledger.merges(name, wanted, before=before, limit=limit)
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
@from_afar
async def show(invocation: Invocation, far: reach.Far | None, tenant: str, row: int) -> None:
    """Show one conflict whole: every candidate, who wrote it, when, on what basis, what was done about it."""
    async with reach.ledger(invocation, far) as ledger:
        found = await ledger.merge(tenant, row)
    if invocation.json:
        terminal.write_json(_json_whole(tenant, found))
        return
    for line in ledger_text.lines(found):
        terminal.write(terminal.one_line(line))


@command("explain")
@TENANT
@ROW
@from_afar
async def explain(invocation: Invocation, far: reach.Far | None, tenant: str, row: int) -> None:
    """Explain one conflict in a sentence, then the facts; `merges show` has long values whole.

    \b
    anabranch-hub merges explain acme 17
    """
    async with reach.ledger(invocation, far) as ledger:
        found = await ledger.merge(tenant, row)
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
@filtered
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=STATS_LIMIT_DEFAULT,
    show_default=True,
    help="How many of the most frequent to name.",
)
@from_afar
async def stats(
    invocation: Invocation, far: reach.Far | None, tenant: str | None, limit: int, **filters: Any
) -> None:
    """Count conflicts: by policy, kind, namespace, edge, author and place, reviewed or not.

    \b
    anabranch-hub merges stats --tenant acme --since 7d
    """
    wanted = matching(**filters)
    async with reach.ledger(invocation, far) as ledger:
        counted = [
            (name, await ledger.merge_stats(name, wanted, limit=limit))
            for name in await _tenants(ledger, tenant)
        ]
    if invocation.json:
        terminal.write_json([ledger_text.json_stats(name, each) for name, each in counted])
        return
    for number, (name, each) in enumerate(counted):
        if number:
            terminal.write()
        for line in ledger_text.stats_lines(name, each):
            terminal.write(terminal.one_line(line))


@command("accept")
@TENANT
@click.argument("rows", type=ID, metavar="[ID]...", nargs=-1)
@click.option("--all-matching", is_flag=True, help="All that the filters leave, after asking.")
@filtered
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("-m", "--message", default="", help="Why, for the review.")
@from_afar
async def accept(
    invocation: Invocation,
    far: reach.Far | None,
    tenant: str,
    rows: tuple[int, ...],
    all_matching: bool,
    yes: bool,
    message: str,
    **filters: Any,
) -> None:
    """Note that somebody looked at conflicts and finds them decided well. Safe to repeat.

    Every acceptance is kept, with who and when, and stands in the tenant's log. A losing value can still
    be restored afterwards.

    \b
    anabranch-hub merges accept acme 17 18 -m "as agreed with the shop"
    anabranch-hub merges accept acme --all-matching --policy min --since 7d --unreviewed
    """
    wanted = matching(**filters)
    if bool(rows) == all_matching or (rows and wanted != ALL_ROWS):
        raise click.UsageError("which rows? Give their ids, or --all-matching with filters")
    async with reach.ledger(invocation, far) as ledger:
        numbers = sorted(set(rows)) if rows else await _numbers(ledger, tenant, wanted)
        question = f"accept {terminal.count(len(numbers), 'row')} of tenant {tenant}'s ledger?"
        if all_matching and numbers and not yes and not _says_yes(invocation, question):
            terminal.say("nothing was accepted")
            return
        accepted: list[int] = []
        try:
            for start in range(0, len(numbers), ACCEPTED_MAX):
                accepted += await ledger.accept(tenant, numbers[start : start + ACCEPTED_MAX], message)
        except AnabranchError as error:
            if accepted:
                done = f"{len(accepted):,} of {terminal.count(len(numbers), 'row')}"
                error.add_note(f"before that {done} were accepted: accept all of them again")
            raise
    already = sorted(set(numbers) - set(accepted))
    if invocation.json:
        terminal.write_json({"tenant": tenant, "accepted": accepted, "already": already})
        return
    ok = terminal.painted("ok", "green")
    terminal.write(f"{ok} {terminal.count(len(accepted), 'row')} accepted{_named(accepted)}")
    if already:
        terminal.say(f"{terminal.count(len(already), 'row')} accepted by you before{_named(already)}")


@command("restore")
@TENANT
@ROW
@click.option(
    "--candidate",
    type=click.IntRange(min=0),
    default=CANDIDATE_DEFAULT,
    show_default=True,
    help="Which one, as `merges show` numbers them; 0 is the winner.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--recreate", is_flag=True, help="Make a document anew that was deleted since.")
@MESSAGE
@from_afar
async def restore(
    invocation: Invocation,
    far: reach.Far | None,
    tenant: str,
    row: int,
    candidate: int,
    dry_run: bool,
    recreate: bool,
    message: str,
) -> None:
    """Bring a losing value back: a new change like any other, which the ledger row then names.

    \b
    anabranch-hub merges restore acme 17 --dry-run
    anabranch-hub merges restore acme 17 -m "the site was right"
    anabranch-hub merges restore acme 17 --candidate 2
    """
    async with reach.ledger(invocation, far) as ledger:
        done = await ledger.restore(tenant, row, candidate, message, recreate=recreate, is_trial=dry_run)
    if done.is_standing:
        stored = done.pair.before
        version = 0 if stored is None else stored.version
        if invocation.json:
            terminal.write_json({"hub_seq": None, "documents": []})
            return
        ok = terminal.painted("ok", "green")
        terminal.write(f"{ok} unchanged: candidate {candidate} stands already, version {version}")
        terminal.say(f"to note that you looked at it: anabranch-hub merges accept {tenant} {row}")
    elif done.written is not None:
        tell_written(invocation, done.written, [done.pair.document])
    elif invocation.json:
        terminal.write_json(comparing.described(done.pair))
    else:
        comparing.told(done.pair)


async def _numbers(ledger: Ledger, tenant: str, wanted: Matching) -> list[int]:
    """The ids of all rows that match, the lowest first."""
    found: list[int] = []
    while page := await ledger.merges(tenant, wanted, before=found[-1] if found else None, limit=LIMIT_MAX):
        found += [row.id for row in page]
    return found[::-1]


def _says_yes(invocation: Invocation, question: str) -> bool:
    """Ask the operator. Raises UsageError where nobody can be asked, Abort."""
    if invocation.json or not terminal.is_terminal(sys.stdin):
        raise click.UsageError(f"{question} Nobody can be asked here: add --yes")
    return click.confirm(question, err=True)


def _named(numbers: Sequence[int]) -> str:
    """The first of the ids, and that there are more."""
    shown = " ".join(str(number) for number in numbers[:NAMED_MAX])
    return (": " if numbers else "") + shown + (" ..." if len(numbers) > NAMED_MAX else "")


def _json_whole(tenant: str, row: LedgerRow) -> dict[str, Any]:
    return {**ledger_text.json_row(tenant, row), "reviews": ledger_text.json_reviews(row)}


async def _tenants(ledger: Ledger, tenant: str | None) -> list[str]:
    return await ledger.tenants() if tenant is None else [check_tenant(tenant)]


for each in (list_merges, show, explain, accept, restore, stats):
    merges.add_command(each)

COMMANDS = {"merges": merges}
