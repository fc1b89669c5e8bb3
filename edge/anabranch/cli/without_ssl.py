"""asyncio without Python's ssl, for commands that may run for months.

TLS to the hub is gRPC's own. Where asyncio finds no ssl it does without, and the agent with 5 MB less of
memory. `init` and `doctor`, which do shake hands by it, import it afterwards as ever.
"""

import sys

_is_there = "ssl" in sys.modules
if not _is_there:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # Python's way to say that there is none
import asyncio as asyncio  # noqa: E402

if not _is_there:
    del sys.modules["ssl"]
