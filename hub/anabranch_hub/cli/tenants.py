"""Commands on tenants: `tenant create`, `tenant list`."""

import click
from anabranch_cli import terminal
from anabranch_sync.ids import check_tenant

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import TENANT
from anabranch_hub.cli.invocation import Invocation, command


@click.group("tenant")
def tenant() -> None:
    """The customers of this hub. Nothing of one is ever seen by another."""


@command("create")
@TENANT
async def create(invocation: Invocation, tenant: str) -> None:
    """Make a tenant: 1 to 40 of a-z, 0-9 and '-', starting with a letter."""
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        await store.create_tenant(tenant, author=invocation.author)
    if invocation.json:
        terminal.write_json({"tenant": tenant})
    else:
        terminal.write(f"{terminal.painted('ok', 'green')} tenant {tenant}")
        terminal.say(f"next: anabranch-hub edge invite {tenant} EDGE --scope {tenant}")


@command("list")
async def list_tenants(invocation: Invocation) -> None:
    """List the tenants, one on a line."""
    async with reach.store(invocation) as store:
        tenants = await store.tenants()
    if invocation.json:
        terminal.write_json([{"tenant": each.name, "created_ms": each.created_ms} for each in tenants])
        return
    for each in tenants:
        terminal.write(each.name)


tenant.add_command(create)
tenant.add_command(list_tenants)

COMMANDS = {"tenant": tenant}
