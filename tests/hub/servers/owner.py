"""A hub reduced to its servers, for tests that need one in a process of its own.

    python -m tests.hub.servers.owner DIR

One JSON line on stdout when they are ready; they stop when stdin ends. A refusal is one line on stderr.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from anabranch_hub.errors import HubError
from anabranch_hub.servers.supervise import EmbeddedServers


async def own(data_dir: Path) -> None:
    async with EmbeddedServers(data_dir) as servers:
        pids = [state.pid for state in servers.states()]
        report = {"uid": os.getuid(), "pids": pids, "postgres_dsn": servers.postgres_dsn}
        print(json.dumps(report), flush=True)  # noqa: T201
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    try:
        asyncio.run(own(Path(sys.argv[1])))
    except HubError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
