"""Values, documents and changes of every kind the core must keep, for hypothesis."""

from anabranch_sync.change import Change, Entry, Op, entry
from anabranch_sync.clock import TIMESTAMP_MAX
from anabranch_sync.document import Document, Object
from anabranch_sync.ids import Cursor, DocumentId, Dot
from anabranch_sync.leaf import ancestry_slot, part_slot
from anabranch_sync.leaf_ancestry import Run, encode_ancestry
from anabranch_sync.leaf_decoder import Id, Insertion, Span, Units, Update, encode_update
from anabranch_sync.path import Path
from anabranch_sync.policy import Policies, Policy, Rule, policies_from
from anabranch_sync.register import (
    DELETED,
    MEMBER,
    PENDING,
    Ancestry,
    Edit,
    Increment,
    Operand,
    Part,
    Register,
    RegisterValue,
    Slot,
    Stamp,
    Value,
)
from anabranch_sync.value import INT_MAX, INT_MIN, Json, canonical
from hypothesis import strategies as st

# Any string but with lone surrogates; half of the time from few letters, so that keys meet.
texts = st.sampled_from(["", "a", "b", "/", "~", "é", "\x00", "z" * 40]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
)
keys = st.sampled_from(["a", "b", "c", "id", ""]) | texts
numbers = st.sampled_from([0, 1, 1.0, -0.0, 0.0, INT_MIN, INT_MAX, 2.0**53]) | (
    st.integers(INT_MIN, INT_MAX) | st.floats(allow_nan=False, allow_infinity=False)
)
scalars: st.SearchStrategy[Json] = st.none() | st.booleans() | numbers | texts
json_values: st.SearchStrategy[Json] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
contents: st.SearchStrategy[Object] = st.dictionaries(keys, json_values, max_size=4)

policies = st.sampled_from([*(Policy(rule) for rule in Rule), Policy(Rule.UNION, "id")])
paths: st.SearchStrategy[Path] = st.lists(keys, max_size=4).map(tuple)

segments = st.sampled_from(["a", "prod", "v1.2", "_", "x-", "Z" * 128])
document_ids = st.sampled_from([DocumentId("acme/prod", "config"), DocumentId("acme/prod", "b")]) | st.builds(
    DocumentId, st.lists(segments, min_size=1, max_size=8).map("/".join), segments
)

timestamps = st.integers(0, TIMESTAMP_MAX)
positions = st.integers(1, 50) | st.integers(1, PENDING)
stamps = st.builds(Stamp, timestamps | st.integers(0, 5), st.integers(0, 6), positions)


def _leaf(value: Json) -> Json:
    return {} if isinstance(value, dict) else value


leaves: st.SearchStrategy[Json] = json_values.map(_leaf)
values: st.SearchStrategy[Value] = st.just(DELETED) | leaves
# The root has no value of its own but the marker of an empty document.
_root: st.SearchStrategy[tuple[Slot, Value]] = st.tuples(st.just(Slot(())), st.just(DELETED) | st.just({}))
_plain = st.tuples(st.lists(keys, min_size=1, max_size=4).map(lambda path: Slot(tuple(path))), values)


@st.composite
def _elements(draw: st.DrawFn) -> tuple[Slot, Value]:
    path = tuple(draw(st.lists(keys, min_size=1, max_size=3)))
    value: Json = draw(json_values)
    return Slot(path, canonical(value)), draw(st.sampled_from([value, DELETED]))


_ids = st.builds(Id, st.integers(0, 2**32 - 1), st.integers(0, 99))
_inserted: st.SearchStrategy[Units] = texts.filter(bool) | st.lists(
    scalars.map(canonical), min_size=1, max_size=3
).map(tuple)


@st.composite
def edits(draw: st.DrawFn) -> tuple[Slot, Edit]:
    """An edit of something, wherever it is, at its own slot."""
    client = draw(st.integers(0, 2**32 - 1))
    insertion = Insertion(draw(_ids), draw(st.none() | _ids), draw(_inserted))
    update = Update(client, (insertion,), (Span(3, 4, 5),) if draw(st.booleans()) else ())
    path = tuple(draw(st.lists(keys, min_size=1, max_size=3)))
    return Slot(path, MEMBER + client.to_bytes(4, "big")), Edit(encode_update(update))


@st.composite
def _members(draw: st.DrawFn) -> tuple[Slot, RegisterValue]:
    """What stands beside the value at a path."""
    path = tuple(draw(st.lists(keys, min_size=1, max_size=3)))
    if draw(st.booleans()):
        return part_slot(path, draw(st.integers(0, INT_MAX))), Part(draw(numbers))
    runs = [Run(draw(st.integers(0, 9)), 0, 3, 5, alive=True)]
    return ancestry_slot(path), Ancestry(encode_ancestry(runs))


_increments: st.SearchStrategy[tuple[Slot, Operand]] = st.tuples(
    st.lists(keys, min_size=1, max_size=3).map(lambda path: Slot(tuple(path))),
    st.builds(Increment, numbers, numbers),
)
_values: st.SearchStrategy[tuple[Slot, Value]] = _plain | _plain | _elements() | _root
written_slots: st.SearchStrategy[tuple[Slot, Operand]] = _values | _values | edits() | _increments
kept_slots: st.SearchStrategy[tuple[Slot, RegisterValue]] = _values | _values | edits() | _members()

stamp_sets = st.lists(stamps, min_size=1, max_size=3, unique=True).map(
    lambda drawn: tuple(sorted(drawn, reverse=True))
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Registers at any slots: more than any merge would put beside each other."""
    few = draw(st.lists(stamp_sets, min_size=1, max_size=3))
    return Document(
        {
            slot: Register(value, draw(st.sampled_from(few)))
            for slot, value in draw(st.lists(kept_slots, max_size=10))
        },
        draw(st.integers(0, INT_MAX)),
    )


one_line = st.text(max_size=20).filter(str.isprintable)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """A change of any operations, in any order, repeated slots included."""
    ops = [Op(draw(document_ids), slot, value) for slot, value in draw(st.lists(written_slots, max_size=6))]
    return Change(
        draw(timestamps),
        Cursor(draw(st.integers(0, 5)), draw(st.integers(0, INT_MAX))),
        draw(one_line),
        draw(one_line),
        tuple(ops),
        tuple(draw(st.lists(st.sampled_from(["router@1", "limits@2"]), max_size=2))),
        draw(st.integers(0, 5)),
    )


@st.composite
def pushes(draw: st.DrawFn) -> list[Entry]:
    """Consecutive changes of one incarnation."""
    incarnation = draw(st.integers(0, INT_MAX))
    first = draw(st.integers(1, 2**40))
    return [
        entry(Dot(incarnation, first + offset), change)
        for offset, change in enumerate(draw(st.lists(changes(), min_size=1, max_size=4)))
    ]


@st.composite
def judges(draw: st.DrawFn) -> Policies:
    """Policies for ``acme/*``: any at the root, at some keys, and below any key."""

    def branch(depth: int) -> Json:
        schema: dict[str, Json] = {}
        if draw(st.booleans()):
            schema["x-anabranch-merge"] = str(draw(policies))
        if depth:
            schema["properties"] = {key: branch(depth - 1) for key in draw(st.sets(keys, max_size=2))}
            if draw(st.booleans()):
                schema["additionalProperties"] = branch(depth - 1)
        return schema

    content: Json = {"namespaces": ["acme/*"], "schema": branch(2)}
    return policies_from([(DocumentId("system/schemas", "drawn"), draw(st.integers(1, 9)), content)])


# Of few names that are alike, so that scopes and addresses meet and nearly meet.
_names = st.sampled_from(["acme", "prod", "pro", "v1.2", "v1x2", "a_b", "axb", "global"])
addresses = st.builds(
    DocumentId, st.lists(_names, min_size=1, max_size=4).map("/".join), st.sampled_from(["config", "prod"])
)
prefixes = st.lists(st.just("*") | _names, min_size=1, max_size=4).map("/".join)
prefix_lists = st.lists(prefixes, max_size=6)
