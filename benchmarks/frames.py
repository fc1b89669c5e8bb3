"""How large are the frames in which an edge sends its changes? Frames alone, no transport."""

from collections.abc import Iterator
from copy import deepcopy

from anabranch_hub.simulation.memory import MemoryReplica
from anabranch_sync.ids import document_id
from anabranch_sync.value import Json

from benchmarks import edits
from benchmarks.cold_start import Figures
from benchmarks.workload import documents
from tests.sync.pair import NOW_MS, Pair, new_hub, new_replica

TENANT = "acme"
COUNTS = (1, 10, 100, 1_000)
DOCUMENTS = 200
# A person does not edit faster; clocks of changes that are close take fewer bytes.
APART_MS = 5_000


def measure(documents_held: int = DOCUMENTS) -> Figures:
    """Bytes up of a push of so many changes, divided by them; all that the stream says while it is open."""
    made = list(documents(TENANT, documents_held))
    hub = new_hub()
    for each in made:
        hub.write(document_id(each.namespace, each.key), each.content)
    replica = new_replica(hub)
    pair = Pair(replica, hub).run()
    clock = iter(range(NOW_MS, NOW_MS + sum(COUNTS) * APART_MS, APART_MS))
    figures = {}
    for count in COUNTS:
        before = pair.sent_bytes["up"]
        for edit in edits.spread(made, count, edits.FRAMES + count):
            _commit(replica, edit, clock)
        pair.offered()
        figures[f"frame_bytes_per_change_{count}"] = (pair.sent_bytes["up"] - before) / count
    return figures


def _commit(replica: MemoryReplica, edit: edits.Edit, clock: Iterator[int]) -> None:
    place = document_id(edit.namespace, edit.key)
    content: Json = deepcopy(replica.read(place))  # what is read is shared with what is confirmed
    parent = content
    for name in edit.path[:-1]:
        assert isinstance(parent, dict), "the path leads through objects"
        parent = parent[name]
    assert isinstance(parent, dict), "the path leads through objects"
    parent[edit.path[-1]] = edit.value
    assert isinstance(content, dict), "a document is an object"
    replica.commit(place, content, now_ms=next(clock))
