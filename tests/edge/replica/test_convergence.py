"""Random edits, pulls and restarts on real files end with equal documents everywhere."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from anabranch.replica import Replica
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.document import Object, rebuild
from anabranch_sync.ids import DocumentId
from anabranch_sync.policy import Rule
from anabranch_sync.value import Json, canonical
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create

EDGES = 2
DOCUMENTS = (DocumentId("acme/prod/router", "config"), DocumentId("acme/prod/limits", "config"))
SCHEMA = DocumentId("system/schemas", "all")

_values: st.SearchStrategy[Json] = st.sampled_from(
    [0, 1, 1.0, True, None, "a", "a b", "a c b", "", [], [1, 2], [2, 3], [1, 3, 2], {}]
)
_contents = st.none() | st.dictionaries(
    st.sampled_from(["a", "b", "set"]),
    _values | st.dictionaries(st.sampled_from(["a", "b"]), _values, max_size=2),
    max_size=3,
)
_schemas = st.sampled_from(list(Rule))
_edges = st.integers(0, EDGES - 1)
_steps = st.one_of(
    st.tuples(st.just("write"), _edges, st.sampled_from(DOCUMENTS), _contents, st.integers(-5, 5)),
    st.tuples(st.just("write"), _edges, st.sampled_from(DOCUMENTS), _contents, st.integers(-5, 5)),
    st.tuples(st.just("hub writes"), st.sampled_from(DOCUMENTS), _contents),
    st.tuples(st.just("schema"), _schemas),
    st.tuples(st.just("push"), _edges, st.booleans()),
    st.tuples(st.just("pull"), _edges),
    st.tuples(st.just("exchange"), _edges),
    st.tuples(st.just("restart"), _edges),
    st.tuples(st.just("reset"), _edges),
    st.tuples(st.just("adopt"), _edges),
)


class _Fleet:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.hub = MemoryHub(SCOPE, lambda: NOW_MS)
        self.stack = stack
        self.edges = [
            Exchange(SqliteStore(stack.enter_context(create(folder / f"{number}.db"))), self.hub)
            for number in range(EDGES)
        ]

    def replica(self, edge: int) -> Replica:
        store = self.edges[edge].replica
        assert isinstance(store, SqliteStore)
        return store.replica

    def take(self, step: Sequence[object]) -> None:
        match step:
            case ("write", int(edge), DocumentId() as document, content, int(drift)):
                assert content is None or isinstance(content, dict)
                self.edges[edge].replica.commit(document, content, now_ms=NOW_MS + drift)
                assert _same(self.edges[edge].replica.content(document), content, edge=True)
            case ("hub writes", DocumentId() as document, content):
                assert content is None or isinstance(content, dict)
                self.hub.write(document, content)
            case ("schema", str(policy)):
                schema: Object = {"properties": {"set": {"x-anabranch-merge": policy}}}
                self.hub.write(SCHEMA, {"namespaces": ["acme/*"], "schema": schema})
            case ("push", int(edge), bool(acknowledged)):
                self.edges[edge].push()
                if acknowledged:
                    self.edges[edge].acknowledge()
            case ("pull", int(edge)):
                pull = self.edges[edge].pull()
                assert self.edges[edge].replica.apply(pull) == pull.digest
            case ("exchange", int(edge)):
                self.exchange(edge)
            case ("restart", int(edge)):
                path = self.replica(edge).path
                self.edges[edge].replica = SqliteStore(self.stack.enter_context(Replica.open(path)))
            case ("reset", int(edge)):
                self.edges[edge].replica.reset()
            case ("adopt", int(edge)):
                self.edges[edge].incarnation = self.hub.open_replica(0).incarnation
                self.edges[edge].replica.adopt(self.edges[edge].incarnation)

    def exchange(self, edge: int) -> None:
        self.edges[edge].acknowledge()
        self.edges[edge].exchange()

    def settle(self) -> None:
        for _ in range(2):
            for edge in range(EDGES):
                self.exchange(edge)


def _same(one: Object | None, other: Object | None, *, edge: bool = False) -> bool:
    if edge:  # a set is read in its own order, each element once
        one, other = _ordered(one), _ordered(other)
    return canonical(one) == canonical(other)


def _ordered(content: Object | None) -> Object | None:
    if content is None:
        return None
    return {
        key: sorted(value, key=canonical) if isinstance(value, list) else value
        for key, value in content.items()
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(_steps, max_size=25))
def test_replicas_and_hub_end_equal_whatever_happened(steps: list[Sequence[object]]) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        fleet = _Fleet(Path(folder), stack)

        for step in steps:
            fleet.take(step)
        fleet.settle()

        for edge in range(EDGES):
            replica = fleet.replica(edge)
            assert replica.verify() == []
            assert replica.facts().outbox == 0
            for document, state in fleet.hub.documents.items():
                visible = replica.read(document)
                assert _same(None if visible is None else visible.content, rebuild(state.registers))
                assert visible is None or visible.version == state.version
