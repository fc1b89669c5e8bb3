"""What this machine and its link are like now, as the hub is told at the beginning of an exchange."""

import shutil
from pathlib import Path

from anabranch_sync.budget import NO_BUDGET, left_bytes, resumes_ms
from anabranch_sync.circumstances import Circumstances, LinkClass

from anabranch.replica.traffic import Traffic

# What a commit appends to the WAL.
COMMIT_BYTES = 32 * 1024


def circumstances(replica: Path, carried: Traffic, *, metered: bool) -> Circumstances:
    """Of the replica at that path, whose link has `carried` so much; `metered`: its agent was told so."""
    is_metered = metered or carried.budget != NO_BUDGET
    return Circumstances(
        LinkClass.METERED if is_metered else LinkClass.FREE,
        left_bytes(carried.budget, carried.spent) or 0,
        resumes_ms(carried.budget, carried.spent, carried.today),
        disk_free_bytes(replica),
    )


def is_full(replica: Path) -> bool:
    """Whether the disk where the replica is has no room for one more commit."""
    return 0 < disk_free_bytes(replica) < COMMIT_BYTES


def disk_free_bytes(replica: Path) -> int:
    """What is free where the replica is; 0: the system does not say."""
    try:
        return max(1, shutil.disk_usage(replica.absolute().parent).free)
    except OSError:
        return 0
