"""Commands on edges: `edge invite`, `edge list`, `edge revoke`."""

import re

import click
from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import OPERATOR_LAYERS, check_edge, check_tenant
from anabranch_sync.scope import SCOPE_PREFIXES_MAX, scope

from anabranch_hub.cli import reach, terminal
from anabranch_hub.cli.arguments import EDGE, TENANT
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.cli.tokens import made_token, show_token
from anabranch_hub.store import Edge

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
    help="A namespace it replicates and may write, with all below; repeat it.  [default: TENANT]",
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
    """List the edges of a tenant: status, scope, how far each has come, when it was last seen.

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
            f"{each.status}, relay" if each.relay else str(each.status),
            str(each.cursor.hub_seq),
            terminal.moment(each.seen_ms),
            terminal.moment(each.not_after_ms)[:10],
            " ".join(each.scope.prefixes),
        )
        for each in edges
    ]
    for line in terminal.columns(
        rows, heading=("edge", "status", "cursor", "last seen", "certificate until", "scope")
    ):
        terminal.write(line)
    for each in edges:
        if each.twins:
            known = ", ".join(map(str, (*each.twins, each.incarnation)))
            terminal.say(f"{each.name} lives more than once, as incarnations {known}: its disk was cloned")


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


def _edge(each: Edge) -> dict[str, object]:
    return {
        "tenant": each.tenant,
        "edge": each.name,
        "status": str(each.status),
        "relay": each.relay,
        "scope": list(each.scope.prefixes),
        "certificate_serial": each.certificate_serial,
        "not_after_ms": each.not_after_ms,
        "incarnation": each.incarnation,
        "twins": list(each.twins),
        "push_mark": each.push_mark,
        "cursor": {"epoch": each.cursor.epoch, "hub_seq": each.cursor.hub_seq},
        "seen_ms": each.seen_ms,
    }


def _scope(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    """The checked prefixes. Raises InvalidName, UsageError."""
    covered = scope(prefixes).prefixes
    if len(covered) > SCOPE_PREFIXES_MAX:
        raise click.UsageError(
            f"{len(covered)} scope prefixes, limit {SCOPE_PREFIXES_MAX}: name a common parent"
        )
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
edge.add_command(revoke)

COMMANDS = {"edge": edge}
