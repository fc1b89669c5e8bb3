"""Merge policies: who wins when two writes are concurrent.

Each policy is a total order over the competing registers, so keeping the greatest is commutative,
associative and idempotent: replicas agree in whatever order they learn of the candidates. `union`
reaches the same by giving each element of a set a register of its own, where adding beats removing,
`counter` by giving each actor a part of its own, `text` and `list` by giving each edit one. Where one
writes a whole value or deletes it, and another adds to it, these choose as `latest` does.

Policies are written in a document's JSON Schema as ``x-anabranch-merge``, inherited down the path.
Schemas are documents themselves (``system/schemas``) and sync like all others, so an edge judges
offline by the same rules as the hub.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from anabranch_sync.demands import demands
from anabranch_sync.errors import InvalidValue, UnknownPolicy
from anabranch_sync.ids import HUB_INCARNATION, DocumentId
from anabranch_sync.path import Path, render_pointer
from anabranch_sync.priority import PRIORITY_DEFAULT, check_priority
from anabranch_sync.register import DELETED, Register, Stamp, json_of
from anabranch_sync.value import DEPTH_MAX, Json, canonical, kind, rank
from anabranch_sync.violation import Violation

if TYPE_CHECKING:
    from anabranch_sync.validity import Constraints

KEYWORD = "x-anabranch-merge"
SCHEMA_NAMESPACE = "system/schemas"

# How pressing changes of a schema's documents are (`priority`), at the root of its JSON Schema.
PRIORITY_KEYWORD = "x-anabranch-priority"

# The characters of namespaces (`ids`), and those with which fnmatch stands for others.
_PATTERN = re.compile(r"[A-Za-z0-9_.*?!\[\]-]+(/[A-Za-z0-9_.*?!\[\]-]+)*")


class Rule(StrEnum):
    """The name of a policy."""

    LATEST = "latest"
    HUB = "hub"
    EDGE = "edge"
    MAX = "max"
    MIN = "min"
    UNION = "union"
    COUNTER = "counter"
    TEXT = "text"
    LIST = "list"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Policy:
    """A rule, and for `union` over objects the field that tells its elements apart."""

    rule: Rule = Rule.LATEST
    key_field: str | None = None

    def __str__(self) -> str:
        return self.rule if self.key_field is None else f"{self.rule}:{self.key_field}"

    def element(self, value: Json) -> bytes:
        """The identity of one element of a `union` set."""
        if self.key_field is not None and isinstance(value, dict) and self.key_field in value:
            return canonical({self.key_field: value[self.key_field]})
        return canonical(value)


LATEST = Policy()


def atomic_lists(_path: Path) -> Policy:
    """For flattening by what stands where: every list is one value, whatever its schema says."""
    return LATEST


def parse_policy(text: str) -> Policy:
    """Return the policy written as ``rule`` or ``union:field``. Raises UnknownPolicy."""
    name, colon, key_field = text.partition(":")
    if name not in set(Rule) or (colon and (name != Rule.UNION or not key_field)):
        raise UnknownPolicy(text, (*Rule, "union:FIELD"))
    return Policy(Rule(name), key_field or None)


def join(policy: Policy, one: Register, other: Register) -> Register:
    """The winner of two concurrent registers of one slot.

    Commutative, associative and idempotent over registers with distinct principal stamps.
    """
    return max(one, other, key=lambda register: _precedence(policy.rule, register))


def _precedence(rule: Rule, register: Register) -> tuple[Any, ...]:
    """The greatest precedence of the writes that agree on the register's value."""
    return max(_precedence_of(rule, register, stamp) for stamp in register.stamps)


def _precedence_of(rule: Rule, register: Register, stamp: Stamp) -> tuple[Any, ...]:
    latest = (stamp.timestamp, stamp.actor, stamp.hub_seq)
    match rule:
        case Rule.LATEST | Rule.COUNTER | Rule.TEXT | Rule.LIST:
            return latest
        case Rule.HUB:
            return (stamp.actor == HUB_INCARNATION, *latest)
        case Rule.EDGE:
            return (stamp.actor != HUB_INCARNATION, *latest)
        case Rule.MAX:
            return (register.live, *_ranked(register), *latest)
        case Rule.MIN:
            return (register.live, *(_Reversed(part) for part in _ranked(register)), *latest)
        case Rule.UNION:
            return (register.live, *latest)
        case Rule.MANUAL:
            # What stands was decided first: the lower position. All others wait for an operator.
            return (-stamp.hub_seq, *latest)


def _ranked(register: Register) -> tuple[Any, ...]:
    return (0, 0) if register.value is DELETED else rank(json_of(register.value))


class _Reversed:
    """A value whose order is turned round, for `min`."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __lt__(self, other: "_Reversed") -> bool:
        return bool(other.inner < self.inner)

    def __gt__(self, other: "_Reversed") -> bool:
        return bool(self.inner < other.inner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(self.inner == other.inner)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class _Branch:
    """The policies of one schema as a tree along its `properties`."""

    policy: Policy | None = None
    properties: Mapping[str, "_Branch"] = field(default_factory=dict)
    additional: "_Branch | None" = None


@dataclass(frozen=True, slots=True)
class _Schema:
    name: str
    version: int
    namespaces: tuple[str, ...]
    root: _Branch
    # The schema document itself: what it demands is compiled where somebody asks for a verdict.
    document: dict[str, Json]
    priority: int

    def constraints(self) -> "Constraints":
        """What the schema demands, compiled. Raises InvalidValue."""
        # jsonschema-rs takes 30 ms to load, which only who is judged need pay.
        from anabranch_sync.validity import constraints

        return constraints(self.document)


class Policies:
    """The policies in force: looked up by document and path, built from the schema documents.

    Of several schemas whose namespace patterns match, the longest pattern wins, then the name.
    """

    def __init__(self, schemas: Iterable[_Schema] = ()) -> None:
        self._schemas = tuple(schemas)
        self._found: dict[str, _Schema | None] = {}
        self._compiled: dict[str, Constraints | None] = {}

    def of(self, document: DocumentId, path: Path) -> Policy:
        """The policy at `path`, inherited from the nearest ancestor that names one."""
        schema = self._schema(document.namespace)
        return LATEST if schema is None else _lookup(schema.root, path)

    def version(self, document: DocumentId) -> str:
        """Which schema, in which version, judges this document: ``name@version``, or empty."""
        schema = self._schema(document.namespace)
        return "" if schema is None else f"{schema.name}@{schema.version}"

    def priority(self, document: DocumentId) -> int:
        """How pressing changes of this document are: 0, urgent, to 3."""
        schema = self._schema(document.namespace)
        return PRIORITY_DEFAULT if schema is None else schema.priority

    def most_pressing(self, documents: Iterable[DocumentId]) -> int:
        """The priority of a change to these documents whose author names none."""
        return min(map(self.priority, documents), default=PRIORITY_DEFAULT)

    def violations(self, document: DocumentId, content: Mapping[str, Json] | None) -> tuple[Violation, ...]:
        """What the schema in force finds wrong with `content`; nothing is wrong with a deletion.

        A schema that cannot be compiled here judges nothing: it was when it was written, by a newer
        release, and `unusable` tells. Schema documents are judged when they are written, and only then.
        """
        constraints = None if content is None else self._constraints(document)
        if constraints is None or content is None:
            return ()
        return constraints.violations(dict(content))

    def judges(self, document: DocumentId) -> bool:
        """Whether `violations` can find anything wrong with the document."""
        return self._constraints(document) is not None

    def unusable(self) -> tuple[tuple[str, str], ...]:
        """The schemas that cannot be compiled here, by name, each with the reason."""
        found = []
        for schema in self._schemas:
            try:
                schema.constraints()
            except InvalidValue as error:
                found.append((schema.name, str(error)))
        return tuple(found)

    def _constraints(self, document: DocumentId) -> "Constraints | None":
        schema = self._schema(document.namespace)
        if schema is None or document.namespace == SCHEMA_NAMESPACE:
            return None
        if schema.name not in self._compiled:
            try:
                compiled = schema.constraints() if demands(schema.document) else None
            except InvalidValue:
                compiled = None
            self._compiled[schema.name] = compiled
        return self._compiled[schema.name]

    def _schema(self, namespace: str) -> _Schema | None:
        if namespace not in self._found:
            if len(self._found) > 10_000:  # a bound on memory, far above the namespaces of one tenant
                self._found.clear()
            matching = [
                (len(pattern), schema.name, schema)
                for schema in self._schemas
                for pattern in schema.namespaces
                if fnmatchcase(namespace, pattern)
            ]
            self._found[namespace] = max(matching, key=lambda match: match[:2])[2] if matching else None
        return self._found[namespace]


NO_POLICIES = Policies()


def policies_from(documents: Iterable[tuple[DocumentId, int, Json]]) -> Policies:
    """Build the lookup from the schema documents, given as (address, version, content).

    A schema document is ``{"namespaces": ["acme/prod/*"], "schema": {JSON Schema}}``. One that is
    malformed is left out: it was refused when written (`check_schema_document`), so only an older
    version of this software can have let it in, and a reader must not fail for it.
    """
    schemas = []
    for document, version, content in documents:
        try:
            schemas.append(_parse_schema(document.key, version, content))
        except (InvalidValue, UnknownPolicy):
            continue
    return Policies(schemas)


def check_schema_document(document: DocumentId, content: Json) -> None:
    """Refuse a schema document that names no namespaces or an unknown policy, or that does not compile.

    Raises InvalidValue, UnknownPolicy. Any other document passes.
    """
    if document.namespace == SCHEMA_NAMESPACE:
        _parse_schema(document.key, 0, content).constraints()


def _parse_schema(name: str, version: int, content: Json) -> _Schema:
    namespaces = content.get("namespaces") if isinstance(content, dict) else None
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(namespaces, list) or not namespaces or not all(isinstance(n, str) for n in namespaces):
        raise InvalidValue("/namespaces", 'a schema document needs a list of patterns, as in ["acme/prod/*"]')
    for index, pattern in enumerate(namespaces):
        if not _PATTERN.fullmatch(str(pattern)) or ".." in str(pattern).split("/"):
            reason = f"{pattern!a} matches no namespace: write segments with * or ?, as in acme/prod/*"
            raise InvalidValue(f"/namespaces/{index}", reason)
    if not isinstance(schema, dict) or not isinstance(content, dict):
        raise InvalidValue("/schema", "a schema document needs a JSON Schema object")
    written = schema.get(PRIORITY_KEYWORD, PRIORITY_DEFAULT)
    priority = check_priority(written, render_pointer(("schema", PRIORITY_KEYWORD)))
    patterns = tuple(str(n) for n in namespaces)
    return _Schema(name, version, patterns, _parse_branch(schema, ()), content, priority)


def _parse_branch(schema: Mapping[str, Json], path: Path) -> _Branch:
    if len(path) > DEPTH_MAX:
        raise InvalidValue(render_pointer(path), f"schema depth over {DEPTH_MAX}")
    written = schema.get(KEYWORD)
    if written is not None and not isinstance(written, str):
        raise InvalidValue(render_pointer((*path, KEYWORD)), "a merge policy is a string")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise InvalidValue(render_pointer((*path, "properties")), f"it is {kind(properties)}, not an object")
    additional = schema.get("additionalProperties")
    return _Branch(
        None if written is None else parse_policy(written),
        {
            key: _parse_branch(child, (*path, key))
            for key, child in properties.items()
            if isinstance(child, dict)
        },
        _parse_branch(additional, (*path, "*")) if isinstance(additional, dict) else None,
    )


def _lookup(branch: _Branch, path: Path) -> Policy:
    policy = branch.policy or LATEST
    for key in path:
        child = branch.properties.get(key, branch.additional)
        if child is None:
            return policy
        branch = child
        policy = branch.policy or policy
    return policy
