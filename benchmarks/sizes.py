"""How much of everything is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """`FULL` answers the questions; `TINY` only shows that every figure comes out."""

    documents: int
    cold_starts: int
    offline_edits: int
    offline_documents: int
    overwrites: int
    live_edits: int
    reads: int
    read_documents: int
    commit_rounds: int
    commits_per_round: int
    fleet_edges: int
    fleet_documents: int
    fleet_edits: int
    hub_batches: int
    hub_batch_changes: int
    hub_single_writes: int
    starts: int
    compared_documents: int
    idle_s: float
    peers_idle_s: float
    peers_quiet_s: float


FULL = Sizes(
    documents=1_000,
    cold_starts=3,
    offline_edits=1_000,
    offline_documents=200,
    overwrites=1_000,
    live_edits=40,
    reads=50_000,
    read_documents=200,
    commit_rounds=20,
    commits_per_round=25,
    fleet_edges=10,
    fleet_documents=100,
    fleet_edits=100,
    hub_batches=5,
    hub_batch_changes=1_000,
    hub_single_writes=200,
    starts=7,
    compared_documents=5_000,
    idle_s=120.0,
    peers_idle_s=60.0,
    # Longer than any peer gathers before it sends: what was to come has come.
    peers_quiet_s=2.5,
)

TINY = Sizes(
    documents=12,
    cold_starts=2,
    offline_edits=10,
    offline_documents=4,
    overwrites=10,
    live_edits=3,
    reads=200,
    read_documents=5,
    commit_rounds=3,
    commits_per_round=3,
    fleet_edges=1,
    fleet_documents=5,
    fleet_edits=5,
    hub_batches=2,
    hub_batch_changes=10,
    hub_single_writes=3,
    starts=1,
    compared_documents=200,
    idle_s=0.0,
    peers_idle_s=0.1,
    peers_quiet_s=0.3,
)
