"""Commands on edges: `invite`, `list`, `explain`, `incidents`, `traffic`, `budget`, `scope`, `retire`,
`revoke`, `wipe`."""

import re
import time
from collections import Counter

import click
from anabranch_cli import terminal
from anabranch_cli.options import Size
from anabranch_sync.budget import NO_BUDGET, Budget
from anabranch_sync.circumstances import UNKNOWN
from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import OPERATOR_LAYERS, check_edge, check_tenant
from anabranch_sync.lateness import EdgeFacts, lateness
from anabranch_sync.scope import EVERYTHING, scope

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import EDGE, TENANT
from anabranch_hub.cli.failure import Precondition
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.cli.tokens import made_token, show_token
from anabranch_hub.store import Behind, Edge, EdgeIncident, EdgeStatus
from anabranch_hub.store.records import Told

# Long enough to walk to the machine; a token that is found tomorrow opens nothing.
TTL_DEFAULT = "15m"
TTL_S_MAX = 7 * 86_400
_TTL = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@click.group("edge")
def edge() -> None:
    """The machines that work offline: let them in, look at them, shut them out."""


@command("invite")
@TENANT
@EDGE
@click.option(
    "--scope",
    "prefixes",
    multiple=True,
    metavar="PREFIX",
    help="A namespace it replicates and may write, with all below; a * in it is one segment of any name; "
    "repeat it.  [default: TENANT]",
)
@click.option(
    "--ttl", default=TTL_DEFAULT, show_default=True, help="How long the token is good: 90s, 15m, 2h, 1d."
)
@click.option("--relay", is_flag=True, help="It may also pass other edges of the tenant on to this hub.")
async def invite(
    invocation: Invocation, tenant: str, edge: str, prefixes: tuple[str, ...], ttl: str, relay: bool
) -> None:
    """Print a token that lets one edge in, once. It is shown this one time: the hub keeps only its hash.

    \b
    anabranch-hub edge invite acme store-17 --scope acme/prod > token
    anabranch init --hub HUB:7443 --token @token         on the edge
    anabranch-hub edge invite acme store-hub --relay     for a machine that serves others of its site
    """
    ttl_s = seconds(ttl)
    check_tenant(tenant)
    check_edge(edge)
    covered = _scope(prefixes or (tenant,))
    made = made_token(invocation, ttl_s)
    async with reach.store(invocation) as store:
        secret_hash, author = made.token.secret_hash, invocation.author
        await store.invite(tenant, edge, covered, secret_hash, made.expires_ms, author, relay=relay)
    if invocation.json:
        terminal.write_json(
            {
                "tenant": tenant,
                "edge": edge,
                "scope": list(covered),
                "relay": relay,
                "token": made.token.render(),
                "expires_ms": made.expires_ms,
                "hub": made.hub,
            }
        )
        return
    show_token(
        made,
        f"for edge {edge} of tenant {tenant}, scope {' '.join(covered)}, "
        f"once within {terminal.duration(ttl_s)}; on the edge: anabranch init --hub {made.hub} --token -",
    )


@command("list")
@TENANT
async def list_edges(invocation: Invocation, tenant: str) -> None:
    """List the edges of a tenant: status, scope, how far each has come, when seen and proved equal.

    An edge that lives twice, because its disk was cloned, is named below with its incarnations: both keep
    what they write, under numbers of their own. Revoke it and enrol each copy under a name of its own.
    """
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        edges = await store.edges(tenant)
    if invocation.json:
        terminal.write_json([_edge(each) for each in edges])
        return
    rows = [
        (
            each.name,
            _status(each),
            str(each.cursor.hub_seq),
            terminal.moment(each.seen_ms),
            "never" if each.proved is None else terminal.moment(each.proved.at_ms),
            terminal.moment(each.not_after_ms)[:10],
            _limits(each.budget),
            _replicated(each),
        )
        for each in edges
    ]
    for line in terminal.columns(
        rows,
        heading=(
            "edge",
            "status",
            "cursor",
            "last seen",
            "proved equal",
            "certificate until",
            "budget",
            "scope",
        ),
    ):
        terminal.write(line)
    for each in edges:
        if each.twins:
            known = ", ".join(map(str, (*each.twins, each.incarnation)))
            terminal.say(f"{each.name} lives more than once, as incarnations {known}: its disk was cloned")


@command("explain")
@TENANT
@EDGE
async def explain(invocation: Invocation, tenant: str, edge: str) -> None:
    """Say in one sentence why an edge is behind, and then what else is known of it.

    \b
    anabranch-hub edge explain acme store-17
    anabranch-hub edge explain acme store-17 --json
    """
    check_tenant(tenant)
    check_edge(edge)
    async with reach.store(invocation) as store:
        known = await store.edge(tenant, edge)
        behind = await store.behind(tenant, known)
        recent = await store.incidents(tenant, edge, limit=1)
    why = lateness(_facts(known, behind, time.time_ns() // 1_000_000))
    if invocation.json:
        reasons = [{"reason": str(reason), "sentence": sentence} for reason, sentence in why.facts]
        last = _incident(recent[0]) if recent else None
        said = {"reason": why.reason and str(why.reason), "sentence": why.sentence, "facts": reasons}
        terminal.write_json({**said, "edge": _edge(known), "last_incident": last})
        return
    terminal.write(why.sentence)
    rows = [("", sentence) for _, sentence in why.facts[1:]]
    proved = "never" if known.proved is None else terminal.moment(known.proved.at_ms)
    rows += [("last seen", terminal.moment(known.seen_ms)), ("proved equal", proved)]
    if known.wipe is not None:
        answer = "it has not said that it is done"
        if known.wipe.done_ms is not None:
            answer = f"it said at {terminal.moment(known.wipe.done_ms)} that it is done"
        rows.append(("wipe", f"ordered at {terminal.moment(known.wipe.ordered_ms)}, {answer}"))
    if known.subscription != EVERYTHING:
        rows.append(("scope", _replicated(known)))
    if known.budget != NO_BUDGET:
        rows.append(("budget", f"{_limits(known.budget)} (edge budget)"))
    if recent:
        rows.append(("last incident", f"{terminal.moment(recent[0].at_ms)} (edge incidents)"))
    for name, fact in rows:
        terminal.write(f"  {name + ': ' if name else ''}{fact}")


@command("incidents")
@TENANT
@click.argument("edge", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
async def incidents(invocation: Invocation, tenant: str, edge: str | None, limit: int) -> None:
    """List where edges were not what the hub has, newest first; of one edge, or of all.

    \b
    anabranch-hub edge incidents acme
    anabranch-hub edge incidents acme store-17 --json
    """
    check_tenant(tenant)
    if edge is not None:
        check_edge(edge)
    async with reach.store(invocation) as store:
        found = await store.incidents(tenant, edge, limit=limit)
    if invocation.json:
        terminal.write_json([_incident(each) for each in found])
        return
    rows = [
        (
            terminal.moment(each.at_ms),
            each.edge,
            str(each.incident.kind),
            str(each.incident.remedy),
            str(each.incident.count),
            " ".join(str(document) for document in each.incident.documents),
        )
        for each in found
    ]
    for line in terminal.columns(rows, heading=("at", "edge", "kind", "remedy", "documents", "among them")):
        terminal.write(line)


def _facts(known: Edge, behind: Behind, now_ms: int) -> EdgeFacts:
    told, wipe = known.told, known.wipe
    # A held stream says nothing while nothing is new: silence means something only where there is.
    heard_ms = now_ms if known.seen_ms and not behind.changed else known.seen_ms or None
    if told is None and known.cursor.epoch == 0:
        heard_ms = None  # it was seen when it was enrolled, and then no more
    # What an edge said of its outbox is over as soon as it was heard again.
    unsent_ms = told.oldest_unsent_ms if told and told.told_ms == known.seen_ms else 0
    return EdgeFacts(
        now_ms=now_ms,
        revoked=known.status is EdgeStatus.REVOKED,
        to_be_wiped=wipe is not None,
        wiped_ms=wipe.done_ms if wipe is not None else None,
        certificate_until_ms=known.not_after_ms or None,
        heard_ms=heard_ms,
        budget_until_ms=_by_our_clock(told, told.circumstances.budget_until_ms) if told else None,
        disk_free_bytes=(told.circumstances.disk_free_bytes or None) if told else None,
        clock_offset_ms=told.clock_offset_ms if told else None,
        oldest_unsent_ms=_by_our_clock(told, unsent_ms) if told else None,
        behind=behind.changed,
        quarantined=behind.quarantined,
        damaged_changes=told.damaged_changes if told else 0,
        proved_ms=known.proved.at_ms if known.proved else None,
    )


def _by_our_clock(told: Told, told_ms: int) -> int | None:
    """A time that an edge told by its own clock; None where it told none (0)."""
    return told_ms + told.clock_offset_ms if told_ms else None


def _incident(each: EdgeIncident) -> dict[str, object]:
    return {"edge": each.edge, "at_ms": each.at_ms, **each.incident.as_json()}


@command("traffic")
@TENANT
@EDGE
@click.option("--by", type=click.Choice(["namespace", "document"]), default="namespace", show_default=True)
@click.option(
    "--days", type=click.IntRange(1, 90), default=7, show_default=True, help="Today and those before."
)
async def traffic(invocation: Invocation, tenant: str, edge: str, by: str, days: int) -> None:
    """Tell what an edge's link carried, and for which documents, the most first.

    Bytes of frames, shared out in proportion to what each document takes; without TLS and HTTP/2, and without
    transfers that were broken off for good. (others): too many to name them all.

    \b
    anabranch-hub edge traffic acme store-17
    anabranch-hub edge traffic acme store-17 --by document --days 30 --json
    """
    check_tenant(tenant)
    check_edge(edge)
    async with reach.store(invocation) as store:
        found = await store.traffic(tenant, edge, days)
    up: Counter[str] = Counter()
    down: Counter[str] = Counter()
    for each in found:
        name = each.place.namespace
        if by == "document" and each.place.key:
            name += f"/{each.place.key}"
        up[name] += each.bytes_up
        down[name] += each.bytes_down
    names = sorted(up, key=lambda name: (-up[name] - down[name], name))
    if invocation.json:
        terminal.write_json([{by: name, "bytes_up": up[name], "bytes_down": down[name]} for name in names])
        return
    rows = [(terminal.size(up[name]), terminal.size(down[name]), name) for name in names]
    for line in terminal.columns(rows, heading=("up", "down", by)):
        terminal.write(line)


@command("budget")
@TENANT
@EDGE
@click.option("--day", type=Size(), metavar="SIZE", help="At most so many bytes a day (UTC), or none.")
@click.option("--month", type=Size(), metavar="SIZE", help="At most so many bytes a month, or none.")
@click.option("--none", "without", is_flag=True, help="Take both limits away.")
async def set_budget(
    invocation: Invocation, tenant: str, edge: str, day: int | None, month: int | None, *, without: bool
) -> None:
    """Limit what an edge's link may carry, both ways together; show the limits where none is given.

    The edge is told at its next exchange and keeps to it from then on, offline too; once a limit is used up
    only urgent changes go. Where it has limits of its own (`anabranch link set`), of each the smaller holds.

    \b
    anabranch-hub edge budget acme store-17 --day 2MB --month 40MB
    anabranch-hub edge budget acme store-17 --none
    anabranch-hub edge budget acme store-17
    """
    if without and not (day is None and month is None):
        raise click.UsageError("--none takes both limits away: give it alone")
    check_tenant(tenant)
    check_edge(edge)
    async with reach.store(invocation) as store:
        known = (await store.edge(tenant, edge)).budget
        day_bytes, month_bytes = (0, 0) if without else (day, month)
        budget = _changed(known, day_bytes, month_bytes)
        if budget != known:  # only what is given: another operator may be setting the other limit
            author = invocation.author
            limits = {"day_bytes": day_bytes, "month_bytes": month_bytes}
            budget = await store.set_budget(tenant, edge, **limits, author=author)
    if invocation.json:
        limits = {"day_bytes": budget.day_bytes or None, "month_bytes": budget.month_bytes or None}
        terminal.write_json({"tenant": tenant, "edge": edge, **limits})
    else:
        terminal.write(f"edge {edge} of tenant {tenant}: {_limits(budget)}")


def _changed(known: Budget, day: int | None, month: int | None) -> Budget:
    """What is not given stays as it is."""
    return Budget(known.day_bytes if day is None else day, known.month_bytes if month is None else month)


def _limits(budget: Budget) -> str:
    limits = ((budget.day_bytes, "day"), (budget.month_bytes, "month"))
    return ", ".join(f"{terminal.size(size)} a {span}" for size, span in limits if size) or "no budget"


@command("scope")
@TENANT
@EDGE
@click.option(
    "--scope",
    "prefixes",
    multiple=True,
    required=True,
    metavar="PREFIX",
    help="A namespace it replicates and may write from now on, with all below; a * in it is one segment of "
    "any name; repeat it.",
)
async def rescope(invocation: Invocation, tenant: str, edge: str, prefixes: tuple[str, ...]) -> None:
    """Change what an edge replicates and may write.

    When it connects next, what enters its scope travels to it, and what leaves is deleted there. Changes
    that it wrote outside of its new scope and that had not reached the hub are refused, and kept there.

    \b
    anabranch-hub edge scope acme store-17 --scope acme/prod --scope acme/dev
    anabranch-hub edge scope acme store-17 --scope 'acme/*/router'
    """
    check_tenant(tenant)
    check_edge(edge)
    covered = _scope(prefixes)
    async with reach.store(invocation) as store:
        former = await store.rescope(tenant, edge, covered, author=invocation.author)
    if invocation.json:
        said = {"scope": list(covered), "former": list(former.prefixes)}
        terminal.write_json({"tenant": tenant, "edge": edge, **said})
    else:
        ok = terminal.painted("ok", "green")
        terminal.write(f"{ok} edge {edge} of tenant {tenant} has the scope {' '.join(covered)}")
        terminal.say(f"it had {' '.join(former.prefixes)}, and holds that until it connects next")


@command("revoke")
@TENANT
@EDGE
async def revoke(invocation: Invocation, tenant: str, edge: str) -> None:
    """Shut an edge out for good: its stream ends at once, nothing of its opens any more."""
    check_tenant(tenant)
    check_edge(edge)
    async with reach.store(invocation) as store:
        await store.revoke(tenant, edge, author=invocation.author)
    if invocation.json:
        terminal.write_json({"tenant": tenant, "edge": edge, "status": "revoked"})
    else:
        terminal.write(f"{terminal.painted('ok', 'green')} edge {edge} of tenant {tenant} is revoked")


@command("wipe")
@TENANT
@EDGE
@click.option("--discard-unsent", is_flag=True, help="At once: what was written there and waits is lost.")
@click.option("--cancel", is_flag=True, help="Take the order back, as long as it was not carried out.")
@click.option("--yes", "confirmed", is_flag=True, help="Really remove everything there.")
async def wipe(
    invocation: Invocation, tenant: str, edge: str, *, discard_unsent: bool, cancel: bool, confirmed: bool
) -> None:
    """Remove everything of an edge from its disk at its next contact: a machine that is given away or stolen.

    It sends first what was written there and waits, and is told nothing new meanwhile; then replica, keys
    and caches are overwritten and deleted, and its agent ends with exit code 9. A revoked edge that calls is
    wiped too, at once: what it writes is not taken any more. Courier files do not carry the order.

    The order stands until the edge is enrolled anew, as an older image of its disk may call.

    \b
    anabranch-hub edge wipe acme store-17 --yes
    anabranch-hub edge wipe acme store-17 --discard-unsent --yes
    anabranch-hub edge wipe acme store-17 --cancel
    """
    check_tenant(tenant)
    check_edge(edge)
    if cancel and (discard_unsent or confirmed):
        raise click.UsageError("--cancel takes an order back: give it alone")
    if not (cancel or confirmed):
        raise click.UsageError(f"this removes everything of edge {edge} from its disk: say --yes to do it")
    async with reach.store(invocation) as store:
        if not cancel:
            await store.order_wipe(tenant, edge, at_once=discard_unsent, author=invocation.author)
        elif not await store.cancel_wipe(tenant, edge, author=invocation.author):
            raise Precondition(f"edge {edge} has no order to be wiped that can be taken back")
        known = await store.edge(tenant, edge)
    if invocation.json:
        terminal.write_json({"tenant": tenant, "edge": edge, "wipe": _wipe(known)})
        return
    ok = terminal.painted("ok", "green")
    if cancel:
        terminal.write(f"{ok} edge {edge} of tenant {tenant} keeps what it has")
    else:
        terminal.write(f"{ok} edge {edge} of tenant {tenant} is wiped at its next contact")


@command("retire")
@TENANT
@EDGE
async def retire(invocation: Invocation, tenant: str, edge: str) -> None:
    """Stop waiting for an edge that may be gone: it no longer holds back what `collect` collects.

    It is not shut out, `revoke` does that. When it comes back it counts again; if what it had not seen was
    collected meanwhile it gets its scope anew, and what it wrote is merged like any other.
    """
    check_tenant(tenant)
    check_edge(edge)
    async with reach.store(invocation) as store:
        await store.retire(tenant, edge, author=invocation.author)
    if invocation.json:
        terminal.write_json({"tenant": tenant, "edge": edge, "retired": True})
    else:
        terminal.write(f"{terminal.painted('ok', 'green')} edge {edge} of tenant {tenant} is retired")


def _status(each: Edge) -> str:
    notes = [str(each.status)]
    notes += ["relay"] if each.relay else []
    notes += ["retired"] if each.retired_ms is not None else []
    if each.wipe is not None:
        notes.append("to be wiped" if each.wipe.done_ms is None else "wiped")
    return ", ".join(notes)


def _edge(each: Edge) -> dict[str, object]:
    said = each.told.circumstances if each.told else UNKNOWN
    return {
        "tenant": each.tenant,
        "edge": each.name,
        "status": str(each.status),
        "relay": each.relay,
        "retired_ms": each.retired_ms,
        "wipe": _wipe(each),
        "scope": list(each.scope.prefixes),
        "subscription": None if each.subscription == EVERYTHING else list(each.subscription.prefixes),
        "certificate_serial": each.certificate_serial,
        "not_after_ms": each.not_after_ms,
        "incarnation": each.incarnation,
        "twins": list(each.twins),
        "push_mark": each.push_mark,
        "cursor": {"epoch": each.cursor.epoch, "hub_seq": each.cursor.hub_seq},
        "seen_ms": each.seen_ms,
        "proved_ms": each.proved.at_ms if each.proved else None,
        "proved_hub_seq": each.proved.cursor.hub_seq if each.proved else None,
        "budget_day_bytes": each.budget.day_bytes or None,
        "budget_month_bytes": each.budget.month_bytes or None,
        "link_class": str(said.link_class),
        "budget_left_bytes": said.byte_budget or None,
        "budget_until_ms": _by_our_clock(each.told, said.budget_until_ms) if each.told else None,
        "disk_free_bytes": said.disk_free_bytes or None,
    }


def _wipe(each: Edge) -> dict[str, object] | None:
    wipe = each.wipe
    if wipe is None:
        return None
    return {"ordered_ms": wipe.ordered_ms, "discards_unsent": wipe.at_once, "done_ms": wipe.done_ms}


def _replicated(each: Edge) -> str:
    """What was granted, and what it asks for of that where it is less."""
    granted = " ".join(each.scope.prefixes)
    if each.subscription == EVERYTHING:
        return granted
    return f"{granted}, of which it asks for {' '.join(each.subscription.prefixes)}"


def _scope(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """The checked prefixes. Raises InvalidName."""
    covered = scope(prefixes).prefixes
    for prefix in covered:
        layer = prefix.partition("/")[0]
        if layer in OPERATOR_LAYERS:
            raise InvalidName("scope", prefix, f"every edge reads {layer} already, and none may write it")
    return covered


def seconds(ttl: str) -> int:
    """How long a token is to be good. Raises UsageError."""
    match = _TTL.fullmatch(ttl)
    seconds = int(match[1]) * _UNIT_S[match[2]] if match else 0
    if not 1 <= seconds <= TTL_S_MAX:
        raise click.UsageError(
            f"--ttl {ttl!a} is refused: a number and s, m, h or d, from 1s to {TTL_S_MAX // 86_400}d"
        )
    return seconds


edge.add_command(invite)
edge.add_command(list_edges)
edge.add_command(explain)
edge.add_command(incidents)
edge.add_command(traffic)
edge.add_command(set_budget)
edge.add_command(rescope)
edge.add_command(retire)
edge.add_command(revoke)
edge.add_command(wipe)

COMMANDS = {"edge": edge}
