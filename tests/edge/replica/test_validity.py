"""Whatever two replicas and the hub write at once, none of their readers ever sees an invalid document."""

import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.document import Object, rebuild
from anabranch_sync.errors import Invalid
from anabranch_sync.policy import policies_from
from anabranch_sync.value import Json
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.replica import NOW_MS, ROUTER, SCHEMA, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create

REPAIRED: Object = {"low": 0, "high": 0}


def ruled(high_max: int) -> Object:
    """The schema; its rule always holds, its limit comes and goes."""
    return {
        "namespaces": ["acme/prod/*"],
        "schema": {"properties": {"high": {"maximum": high_max}}},
        "rules": [{"name": "low below high", "require": ["/low", "<=", "/high"]}],
    }


ALWAYS = policies_from([(SCHEMA, 1, ruled(9))])


@dataclass(frozen=True)
class Act:
    """Something one of the sides does; side 0 is the hub's operator."""

    side: int
    what: str
    content: Object | None
    high_max: int


_digits: st.SearchStrategy[Json] = st.integers(0, 9)
_contents: st.SearchStrategy[Object | None] = st.none() | st.dictionaries(
    st.sampled_from(["low", "high", "other"]), _digits, max_size=3
)
_acts = st.lists(
    st.builds(
        Act,
        st.integers(0, 2),
        st.sampled_from(["put", "put", "push", "pull", "schema"]),
        _contents,
        st.integers(4, 9),
    ),
    min_size=4,
    max_size=24,
)


@given(acts=_acts)
@settings(max_examples=60, deadline=None)
def test_no_reader_ever_sees_an_invalid_document_and_a_repair_is_read_everywhere(acts: list[Act]) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # given
        hub = MemoryHub(SCOPE, lambda: NOW_MS)
        hub.write(SCHEMA, ruled(9))
        replicas = [stack.enter_context(create(Path(folder) / f"{number}.db")) for number in range(2)]
        edges = [Exchange(SqliteStore(replica), hub) for replica in replicas]
        for edge in edges:
            edge.exchange()
        # when
        for act in acts:
            with suppress(Invalid):  # the author is told; nothing was written
                _act(act, hub, edges)
            # then
            for content in [hub.read(ROUTER), *(edge.replica.content(ROUTER) for edge in edges)]:
                assert ALWAYS.violations(ROUTER, content) == ()
        _settle(edges)
        if ROUTER in hub.quarantined:
            hub.write(ROUTER, REPAIRED)
        _settle(edges)
        head = rebuild(hub.documents[ROUTER].registers) if ROUTER in hub.documents else None
        assert hub.read(ROUTER) == head
        assert [edge.replica.content(ROUTER) for edge in edges] == [head, head]
        assert [replica.quarantined() for replica in replicas] == [[], []]
        assert [replica.verify() for replica in replicas] == [[], []]


def _act(act: Act, hub: MemoryHub, edges: list[Exchange]) -> None:
    if act.side == 0:
        hub.write(*((SCHEMA, ruled(act.high_max)) if act.what == "schema" else (ROUTER, act.content)))
        return
    edge = edges[act.side - 1]
    if act.what == "put":
        edge.replica.commit(ROUTER, act.content, now_ms=NOW_MS)
    elif act.what == "push":
        edge.push()
        edge.acknowledge()
    else:
        edge.replica.apply(edge.pull())


def _settle(edges: list[Exchange]) -> None:
    for edge in [*edges, *edges]:
        edge.exchange()
