"""The life of a fleet that somebody described: what is planned happens when it is planned."""

from functools import partial

from anabranch_hub.simulation.edge import Edge
from anabranch_hub.simulation.fleet import Fleet
from anabranch_hub.simulation.memory import ReplicaState
from anabranch_hub.simulation.topology import EdgePlan, Topology


class Incident(Fleet):
    """One life of a topology; the seed draws what the topology leaves open."""

    def __init__(self, topology: Topology, seed: int) -> None:
        super().__init__(seed, topology.life)
        self._topology = topology
        for edge, plan in zip(self.edges, topology.edges, strict=True):
            edge.is_called(plan.name, plan.clock_ms)

    def _plan(self) -> None:
        for _ in range(self._topology.writes_at_hub):
            self._at_some_time(self._write_at_hub)
        clock, mishaps = self.world.clock, self.mishaps
        for at_ms in self._topology.hub_crashes:
            clock.after(at_ms, self.hub.crash)
        for kept_ms, at_ms in self._topology.hub_restored:
            clock.after(kept_ms, mishaps.back_up_hub)
            clock.after(at_ms, mishaps.restore_hub)
        for edge, plan in zip(list(self.edges), self._topology.edges, strict=True):
            self._plan_edge(edge, plan)

    def _plan_edge(self, edge: Edge, plan: EdgePlan) -> None:
        for _ in range(plan.writes):
            self._at_some_time(partial(self._write_at_edge, edge))
        clock, mishaps = self.world.clock, self.mishaps
        spans = (
            (plan.offline, mishaps.go_offline),
            (plan.silent, mishaps.silence),
            (plan.disk_full, mishaps.fill_disk),
            (plan.revoked, mishaps.revoke),
        )
        for planned, event in spans:
            for start_ms, end_ms in planned:
                clock.after(start_ms, partial(event, edge, end_ms - start_ms))
        for at_ms in plan.power_cuts:
            clock.after(at_ms, partial(mishaps.cut_power, edge))
        for at_ms in plan.cloned:
            clock.after(at_ms, partial(mishaps.clone, edge))
        for kept_ms, at_ms in plan.restored:
            self._plan_restore(edge, kept_ms, at_ms)

    def _plan_restore(self, edge: Edge, kept_ms: int, at_ms: int) -> None:
        images: list[ReplicaState] = []
        self.world.clock.after(kept_ms, lambda: images.append(edge.replica.disk))
        self.world.clock.after(at_ms, lambda: self.mishaps.restore(edge, images[0]))
