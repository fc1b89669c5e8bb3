"""A client and an authority of the session's OpenBao, for asynchronous scenarios."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from anabranch_hub.secrets.authority import Authority
from anabranch_hub.secrets.vault import Vault, VaultAccess

T = TypeVar("T")
Scenario = Callable[[Vault, Authority], Awaitable[T]]
Play = Callable[[Scenario[T]], T]


@pytest.fixture
def play(vault_access: VaultAccess) -> Play[object]:
    """Run a scenario with a client and a ready authority; return what it returns."""

    def run(scenario: Scenario[object]) -> object:
        async def played() -> object:
            async with Vault(vault_access) as vault:
                authority = Authority(vault)
                await vault.ensure_transit()
                await authority.ensure()
                return await scenario(vault, authority)

        return asyncio.run(played())

    return run
