"""Commands on operators from afar: `operator invite`, `enrol`, `list`, `revoke`."""

from pathlib import Path

import click
from anabranch_cli import terminal
from anabranch_cli.given import read_text
from anabranch_protos.invitation import parse_token
from anabranch_sync.ids import check_operator, check_tenant

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import TENANT
from anabranch_hub.cli.edges import TTL_DEFAULT, seconds
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.cli.tokens import made_token, show_token
from anabranch_hub.identity import operator_identity
from anabranch_hub.secrets.authority import DAY_S, OPERATOR_TTL_S, OPERATOR_TTL_S_MAX
from anabranch_hub.store import Operator

OPERATOR = click.argument("operator")
# A token has some hundred characters.
TOKEN_BYTES_MAX = 4_096


@click.group("operator")
def operator() -> None:
    """The people who look after one tenant from afar: let them in, look at them, shut them out."""


@command("invite")
@TENANT
@OPERATOR
@click.option(
    "--ttl", default=TTL_DEFAULT, show_default=True, help="How long the token is good: 90s, 15m, 1d."
)
@click.option(
    "--days",
    type=click.IntRange(1, OPERATOR_TTL_S_MAX // DAY_S),
    default=OPERATOR_TTL_S // DAY_S,
    show_default=True,
    help="How long the certificate is to be good.",
)
async def invite(invocation: Invocation, tenant: str, operator: str, ttl: str, days: int) -> None:
    """Print a token that gives one operator a certificate, once. The hub keeps only its hash.

    \b
    anabranch-hub operator invite acme olga > token
    anabranch-hub operator enrol --hub HUB:7443 --token @token --out olga     on olga's machine
    """
    ttl_s = seconds(ttl)
    check_tenant(tenant)
    check_operator(operator)
    made = made_token(invocation, ttl_s)
    async with reach.store(invocation) as store:
        await store.invite_operator(
            tenant, operator, days * DAY_S, made.token.secret_hash, made.expires_ms, invocation.author
        )
    if invocation.json:
        terminal.write_json(
            {
                "tenant": tenant,
                "operator": operator,
                "token": made.token.render(),
                "expires_ms": made.expires_ms,
                "days": days,
                "hub": made.hub,
            }
        )
        return
    show_token(
        made,
        f"for operator {operator} of tenant {tenant}, once within {terminal.duration(ttl_s)}; on their "
        f"machine: anabranch-hub operator enrol --hub {made.hub} --token - --out {operator}",
    )


@command("enrol")
@click.option("--hub", required=True, metavar="HOST:PORT", help="Where the hub listens.")
@click.option("--token", required=True, metavar="@FILE|-", help="The invitation: a file, or standard input.")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="A new folder for key and certificate; its owner's alone.",
)
async def enrol(invocation: Invocation, hub: str, token: str, out: Path) -> None:
    """Get a certificate for an invitation. The key is made here and never leaves.

    \b
    anabranch-hub operator enrol --hub hub.example.org:7443 --token @token --out olga
    anabranch-hub merges list --identity olga
    """
    from anabranch_hub.operations import operator_link

    reach.checked_address("--hub", hub)
    if token != "-" and not token.startswith("@"):
        raise click.UsageError("--token is a secret: give it in a file (@FILE) or on standard input (-)")
    invitation = parse_token(read_text(token.removeprefix("@"), TOKEN_BYTES_MAX).strip())
    operator_identity.prepare(out)
    identity = await operator_link.enrol(hub, invitation)
    operator_identity.write_identity(out, identity)
    whom = identity.whom
    if invocation.json:
        terminal.write_json(
            {
                "tenant": whom.tenant,
                "operator": whom.operator,
                "hub": whom.address,
                "identity": str(out),
                "not_after_ms": identity.not_after_ms,
            }
        )
        return
    until = terminal.moment(identity.not_after_ms)[:10]
    ok = terminal.painted("ok", "green")
    terminal.write(f"{ok} this is operator {whom.operator} of tenant {whom.tenant} until {until}, in {out}")
    terminal.say(f"next: anabranch-hub merges list --identity {out}")


@command("list")
@TENANT
async def list_operators(invocation: Invocation, tenant: str) -> None:
    """List the operators of a tenant: status, until when the certificate is good, who invited them."""
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        operators = await store.operators(tenant)
    if invocation.json:
        terminal.write_json([_operator(each) for each in operators])
        return
    rows = [
        (each.name, str(each.status), terminal.moment(each.not_after_ms)[:10], each.invited_by)
        for each in operators
    ]
    for line in terminal.columns(rows, heading=("operator", "status", "certificate until", "invited by")):
        terminal.write(line)


@command("revoke")
@TENANT
@OPERATOR
async def revoke(invocation: Invocation, tenant: str, operator: str) -> None:
    """Shut an operator out for good: nothing that is asked with the certificate is answered any more."""
    check_tenant(tenant)
    check_operator(operator)
    async with reach.store(invocation) as store:
        await store.revoke_operator(tenant, operator, author=invocation.author)
    if invocation.json:
        terminal.write_json({"tenant": tenant, "operator": operator, "status": "revoked"})
    else:
        ok = terminal.painted("ok", "green")
        terminal.write(f"{ok} operator {operator} of tenant {tenant} is revoked")


def _operator(each: Operator) -> dict[str, object]:
    return {
        "tenant": each.tenant,
        "operator": each.name,
        "status": str(each.status),
        "certificate_serial": each.certificate_serial,
        "not_after_ms": each.not_after_ms,
        "invited_by": each.invited_by,
    }


for each in (invite, enrol, list_operators, revoke):
    operator.add_command(each)

COMMANDS = {"operator": operator}
