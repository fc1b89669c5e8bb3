"""Stores in memory with the durability of disks: what was not fsynced is gone after a crash.

They keep the contracts of the SQLite replica and of the Postgres store (tests/contracts) with the
same pure functions, so that the simulator runs the production code from the session inwards.
"""

from anabranch_hub.simulation.memory.documents import Documents, content_of, policies_of, scope_digest
from anabranch_hub.simulation.memory.hub import Fenced, MemoryHub
from anabranch_hub.simulation.memory.log import LOG_TENANT, MemoryLog
from anabranch_hub.simulation.memory.replica import MemoryReplica, ReplicaState
from anabranch_hub.simulation.memory.tenant import ScopeChanged, Tenant

__all__ = [
    "LOG_TENANT",
    "Documents",
    "Fenced",
    "MemoryHub",
    "MemoryLog",
    "MemoryReplica",
    "ReplicaState",
    "ScopeChanged",
    "Tenant",
    "content_of",
    "policies_of",
    "scope_digest",
]
