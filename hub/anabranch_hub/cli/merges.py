"""Commands on the merge ledger: `merges list`, `merges show`, `merges restore`.

The ledger has one row for each concurrent write that was decided: what competed, who wrote it, which
policy chose, what won.
"""

import click
from anabranch_sync.clock import wall_ms
from anabranch_sync.conflict import Kind
from anabranch_sync.document import Object, check_content
from anabranch_sync.ids import DocumentId, check_tenant, document_id
from anabranch_sync.path import ROOT, render_pointer
from anabranch_sync.policy import Policy, Rule, parse_policy
from anabranch_sync.register import DELETED, Value

from anabranch_hub.cli import reach, terminal
from anabranch_hub.cli.arguments import MESSAGE, TENANT
from anabranch_hub.cli.documents import edit
from anabranch_hub.cli.failure import NotFound
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.store import LedgerRow, RecordedCandidate, Store, Stored, Write

LIMIT_DEFAULT = 50
LIMIT_MAX = 1_000
# A cell of the table; `merges show` has the whole value.
VALUE_CHARS_MAX = 32
PLACE_CHARS_MAX = 72
HEADING = ("tenant", "id", "decided", "kind", "policy", "place", "winner", "losers")


@click.group("merges")
def merges() -> None:
    """The merge ledger: what was written concurrently, who won and why."""


@command("list")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--namespace", default="", metavar="PREFIX", help="Only this namespace and those below.")
@click.option("--policy", default="", help=f"Only what this policy decided: {', '.join(Rule)}.")
@click.option("--kind", type=click.Choice([str(each) for each in Kind]), help="Only this kind of conflict.")
@click.option("--waiting", is_flag=True, help="Only what waits for an operator.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="At most so many of each tenant, the latest first.",
)
@click.option("--before", type=click.IntRange(min=1), help="Only rows before this id: the next page.")
async def list_merges(
    invocation: Invocation,
    tenant: str | None,
    namespace: str,
    policy: str,
    kind: str | None,
    waiting: bool,
    limit: int,
    before: int | None,
) -> None:
    """List decided conflicts, the latest first: the value that won and those that lost.

    \b
    anabranch-hub merges list --tenant acme --waiting
    anabranch-hub merges list --tenant acme --namespace acme/prod --policy max
    """
    if tenant is not None:
        check_tenant(tenant)
    if namespace:
        document_id(namespace)
    rule = parse_policy(policy).rule if policy else ""
    found: list[tuple[str, LedgerRow]] = []
    async with reach.store(invocation) as store:
        for name in [each.name for each in await store.tenants()] if tenant is None else [tenant]:
            rows = await store.merges(
                name,
                prefix=namespace,
                policy=rule,
                kind=kind or "",
                waiting=waiting,
                before=before,
                limit=limit,
            )
            found += [(name, row) for row in rows]
            if len(rows) == limit:
                terminal.say(f"{name}: the {limit} latest; more: --tenant {name} --before {rows[-1].id}")
    if invocation.json:
        terminal.write_json([ledger_row(name, row) for name, row in found])
        return
    if not found:
        terminal.say("no such conflict in the ledger")
        return
    for line in terminal.columns([_table_row(name, row) for name, row in found], heading=HEADING):
        terminal.write(line)


@command("show")
@TENANT
@click.argument("row", type=click.IntRange(min=1), metavar="ID")
async def show(invocation: Invocation, tenant: str, row: int) -> None:
    """Explain one conflict: every candidate, who wrote it, when, on what basis, and why one won."""
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        found = await _row(store, tenant, row)
    if invocation.json:
        terminal.write_json(ledger_row(tenant, found))
        return
    for line in explained(found):
        terminal.write(terminal.one_line(line))


@command("restore")
@TENANT
@click.argument("row", type=click.IntRange(min=1), metavar="ID")
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
    check_tenant(tenant)
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
    found = await store.merge(tenant, row)
    if found is None:
        raise NotFound(
            f"row {row} of tenant {tenant}'s ledger", f"see `anabranch-hub merges list --tenant {tenant}`"
        )
    return found


def explained(row: LedgerRow) -> list[str]:
    """The row as a person reads it."""
    winner, *losers = row.candidates
    lines = [
        f"row {row.id}: {place(row)}",
        f"decided {terminal.moment(row.decided_ms)}, position {row.hub_seq}, kind {row.kind}",
        _reason(row),
        "",
        *_candidate("won ", winner),
    ]
    for number, loser in enumerate(losers, 1):
        lines += _candidate("lost" if len(losers) == 1 else f"lost {number}", loser)
    if row.waiting:
        lines += ["", "waiting: what stood stays until an operator restores a losing value"]
    if row.reviewed_by:
        reviewed = f"position {row.reviewed_seq}, {terminal.moment(row.reviewed_ms)}"
        lines += ["", f"a losing value was restored by {row.reviewed_by}, {reviewed}"]
    return lines


def ledger_row(tenant: str, row: LedgerRow) -> dict[str, object]:
    """The row for programs."""
    return {
        "tenant": tenant,
        "id": row.id,
        "hub_seq": row.hub_seq,
        "decided_ms": row.decided_ms,
        "namespace": row.document.namespace,
        "key": row.document.key,
        "path": render_pointer(row.path),
        "element": row.element is not None,
        "kind": row.kind,
        "policy": row.policy,
        "policy_version": row.policy_version,
        "waiting": row.waiting,
        "candidates": [_json_candidate(each) for each in row.candidates],
        "reviewed_by": row.reviewed_by,
        "reviewed_ms": row.reviewed_ms,
        "reviewed_seq": row.reviewed_seq,
    }


def _table_row(tenant: str, row: LedgerRow) -> tuple[str, ...]:
    winner, *losers = row.candidates
    return (
        tenant,
        str(row.id),
        terminal.moment(row.decided_ms),
        row.kind,
        row.policy + (" waiting" if row.waiting else ""),
        terminal.shortened(place(row), PLACE_CHARS_MAX),
        terminal.shortened(shown(winner.value), VALUE_CHARS_MAX),
        terminal.shortened(", ".join(shown(loser.value) for loser in losers), VALUE_CHARS_MAX),
    )


def place(row: LedgerRow) -> str:
    """Document and path; an element of a set is marked."""
    return f"{row.document} {render_pointer(row.path) or '/'}{'' if row.element is None else '[]'}"


def with_candidate(content: Object, candidate: RecordedCandidate, policy: Policy) -> Object:
    """A copy of `content` in which `candidate` had won; whatever stands in its way goes."""
    result: Object = dict(content)
    if candidate.path == ROOT:  # the marker of an empty document
        return {}
    parent = result
    for key in candidate.path[:-1]:
        child = parent.get(key)
        parent[key] = inner = dict(child) if isinstance(child, dict) else {}
        parent = inner
    key, value = candidate.path[-1], candidate.value
    if candidate.element is not None:
        standing = parent.get(key)
        others = [
            each
            for each in (standing if isinstance(standing, list) else [])
            if policy.element(each) != candidate.element
        ]
        parent[key] = others if value is DELETED else [*others, value]
    elif value is DELETED:
        parent.pop(key, None)
    else:
        parent[key] = value
    return result


def shown(value: Value) -> str:
    """A value as JSON on one line; a deletion as the word."""
    return "deleted" if value is DELETED else terminal.json_text(value)


_WHY = {
    Rule.LATEST: "the later write wins",
    Rule.HUB: "the hub's write wins over an edge's, then the later one",
    Rule.EDGE: "an edge's write wins over the hub's, then the later one",
    Rule.MAX: "the greatest value wins",
    Rule.MIN: "the smallest value wins",
    Rule.UNION: "in a set, adding wins over removing",
    Rule.MANUAL: "what stood stays, an operator decides",
}


def _reason(row: LedgerRow) -> str:
    rule = parse_policy(row.policy).rule
    source = f" (schema {row.policy_version})" if row.policy_version else " (the default)"
    return f"policy {row.policy}{source}: {_WHY[rule]}"


def _candidate(outcome: str, candidate: RecordedCandidate) -> list[str]:
    lines = [f"{outcome}  {shown(candidate.value)}"]
    lines += [f"      {_write_line(each)}" for each in candidate.writes]
    return lines


def _write_line(write: Write) -> str:
    origin = f"edge {write.edge}" if write.edge else "the hub"
    skew = f", clock {terminal.duration(write.skew_ms / 1000)} ahead" if write.skew_ms else ""
    return (
        f"by {write.author or 'unknown'} on {origin}, {terminal.moment(wall_ms(write.timestamp))}{skew}, "
        f"change {write.dot}, had seen position {write.base.hub_seq}"
    )


def _json_candidate(candidate: RecordedCandidate) -> dict[str, object]:
    deleted = candidate.value is DELETED
    return {
        "path": render_pointer(candidate.path),
        "deleted": deleted,
        "value": None if deleted else candidate.value,
        "writes": [
            {
                "hub_seq": each.hub_seq,
                "wall_ms": wall_ms(each.timestamp),
                "dot": str(each.dot),
                "base": {"epoch": each.base.epoch, "hub_seq": each.base.hub_seq},
                "author": each.author,
                "edge": each.edge,
                "skew_ms": each.skew_ms,
            }
            for each in candidate.writes
        ],
    }


merges.add_command(list_merges)
merges.add_command(show)
merges.add_command(restore)

COMMANDS = {"merges": merges}
