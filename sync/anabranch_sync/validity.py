"""What a schema document demands of the documents it judges, compiled. The one door to jsonschema-rs.

JSON Schema draft 2020-12, and rules over several fields beside it (`rules`). Hub and edges compile the
same bytes with the same limits, so they come to the same verdict. What is special here:

- nothing is fetched: a ``$ref`` leads to a place inside the schema document, by a JSON Pointer. The
  library fetches remote references and opens files unless told otherwise, so it is told otherwise too;
- the work is bounded before it is done: references do not lead back to themselves, and what a schema
  comes to with every reference spelled out is limited, for 40 doublings of ``allOf`` are 500 bytes;
- patterns run in the engine whose time is linear in the text, which has no look-around and no
  back-references; one that is too large to compile is refused;
- ``format``, ``contentEncoding`` and ``contentMediaType`` are annotations, as the draft has it by default:
  which texts are, say, an e-mail address changes with the library's version, a pattern does not.

As everywhere in JSON Schema ``1`` and ``1.0`` are one number here, and ``true`` is none; integers are
compared exactly, all 64 bits.
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

import jsonschema_rs
import msgpack

from anabranch_sync.errors import InvalidPath, InvalidValue
from anabranch_sync.path import ROOT, Path, parse_pointer, render_pointer
from anabranch_sync.phrases import described, resolved
from anabranch_sync.rules import FieldRule, parse_rules
from anabranch_sync.value import Json, Object, canonical
from anabranch_sync.violation import Violation, brief

# Compiling 64 KiB takes some 5 ms, once for each process; the largest schema in use at SchemaStore for
# one kind of configuration file is about as large as that.
SCHEMA_BYTES_MAX = 64 * 1024
# Subschemas with every reference spelled out. Each looks at a value of the document at most once, so this
# times the values in a document bounds the time of a verdict: 2,000 over 20,000 numbers take 0.3 s.
SUBSCHEMAS_MAX = 2_000
# Patterns, counted alike. Each reads a text once: 100 over 256 KiB of text take half a second.
PATTERNS_MAX = 100
# Of subschemas within each other, references followed: far from where the library, or we, run out of stack.
NESTED_MAX = 128
# Of one pattern, compiled. `^[a-z0-9-]{1,63}$` takes some 10 KB.
PATTERN_BYTES_MAX = 256 * 1024
# The library lists what is wrong all at once, 13 microseconds each. Where more checks than this could fail,
# only the first violation is asked for.
LISTED_WORK_MAX = 100_000
VIOLATIONS_MAX = 100
# Compiled schemas that a process keeps, whichever tenant or version they are of.
_COMPILED_MAX = 256

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLES = (
    *("items", "additionalProperties", "contains", "propertyNames", "unevaluatedItems"),
    *("unevaluatedProperties", "not", "if", "then", "else", "contentSchema"),
)
# Reached by reference only: they cost nothing where nobody refers to them.
_SHELVES = ("$defs", "definitions")
_UNSUPPORTED = {
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
    "$anchor": "refer to the place by a JSON Pointer, as in #/$defs/limit",
    "$dynamicAnchor": "refer to the place by a JSON Pointer, as in #/$defs/limit",
    "dependencies": "use dependentRequired or dependentSchemas",
}
_NOTHING = "nothing: leave it out"


class Constraints:
    """What one schema document demands. Immutable, so safe for several threads."""

    def __init__(self, schema: Object, rules: tuple[FieldRule, ...], subschemas: int) -> None:
        self._schema = schema
        self._rules = rules
        self._subschemas = subschemas
        options = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES_MAX)
        self._validator = jsonschema_rs.Draft202012Validator(
            schema, offline=True, validate_formats=False, pattern_options=options
        )

    def violations(self, content: Object) -> tuple[Violation, ...]:
        """What is wrong with `content`, in the order of places; empty when it is valid."""
        found = [] if self._validator.is_valid(content) else self._found(content)
        found += [broken for rule in self._rules if (broken := rule.violation(content)) is not None]
        return tuple(dict.fromkeys(sorted(found, key=lambda each: (each.place, each.rule))))[:VIOLATIONS_MAX]

    def _found(self, content: Object) -> list[Violation]:
        if _count(content) * self._subschemas <= LISTED_WORK_MAX:
            return [
                each for error in self._validator.iter_errors(content) for each in self._violations(error)
            ]
        try:
            self._validator.validate(content)
        except jsonschema_rs.ValidationError as error:
            return self._violations(error)
        raise AssertionError("what is not valid has an error")

    def _violations(self, error: jsonschema_rs.ValidationError) -> list[Violation]:
        where = tuple(str(key) for key in error.instance_path)
        keyword = tuple(str(key) for key in error.schema_path)
        rule = f"#{render_pointer(keyword)}"
        reason = brief(error.message)
        match error.kind:
            case jsonschema_rs.ValidationErrorKind.Required(name):
                wanted = brief(described(self._schema, self._property(keyword, name)))
                missing = brief(f"{name!a} is missing")
                return [Violation(render_pointer((*where, name)), rule, missing, wanted)]
            case jsonschema_rs.ValidationErrorKind.AdditionalProperties(
                names
            ) | jsonschema_rs.ValidationErrorKind.UnevaluatedProperties(names):
                listed = self._at((*keyword[:-1], "properties"))
                passes = (
                    brief(f"only {', '.join(listed)}") if isinstance(listed, dict) and listed else _NOTHING
                )
                return [
                    Violation(
                        render_pointer((*where, name)), rule, brief(f"{name!a} is not known here"), passes
                    )
                    for name in names[:VIOLATIONS_MAX]
                ]
            case jsonschema_rs.ValidationErrorKind.FalseSchema():
                return [Violation(render_pointer(where), rule, "nothing may stand here", _NOTHING)]
            case _:
                passes = brief(described(self._schema, self._at(keyword[:-1])))
                return [Violation(render_pointer(where), rule, reason, passes)]

    def _property(self, keyword: Path, name: str) -> Json:
        """The schema of a property that is missing; True where nothing is said of it."""
        said = self._at((*keyword[:-1], "properties", name))
        return True if said is None else said

    def _at(self, place: Path) -> Json:
        return resolved(self._schema, place)


def constraints(schema_document: Object) -> Constraints:
    """What `schema_document` demands, compiled. Raises InvalidValue with the place.

    Compiled once for equal documents.
    """
    judged: Object = {key: schema_document[key] for key in ("schema", "rules") if key in schema_document}
    return _compiled(canonical(judged))


@lru_cache(maxsize=_COMPILED_MAX)
def _compiled(body: bytes) -> Constraints:
    if len(body) > SCHEMA_BYTES_MAX:
        raise InvalidValue("/schema", f"{len(body)} bytes, limit {SCHEMA_BYTES_MAX}: divide what it judges")
    judged = msgpack.unpackb(body)
    schema = judged.get("schema")
    rules = parse_rules(judged.get("rules", []), "/rules")
    if not isinstance(schema, dict):
        raise InvalidValue("/schema", "a schema document needs a JSON Schema object")
    dialect = schema.get("$schema", DIALECT)
    if dialect != DIALECT:
        raise InvalidValue("/schema/$schema", f"only {DIALECT} is understood")
    subschemas = _Expansion(schema).extent(ROOT).size
    try:
        return Constraints(schema, rules, subschemas)
    except jsonschema_rs.ValidationError as error:
        place = render_pointer(("schema", *(str(key) for key in error.instance_path)))
        reason = brief(error.message.split("\n")[0])
        if reason.endswith('is not a "regex"'):
            reason += f" of linear time (no look-around, no back-references) within {PATTERN_BYTES_MAX} bytes"
        raise InvalidValue(place, reason) from error
    except ValueError as error:
        raise InvalidValue("/schema", brief(str(error))) from error


@dataclass(frozen=True, slots=True)
class _Extent:
    """How many subschemas there are, how many within each other, and how many patterns."""

    size: int
    depth: int
    patterns: int

    def with_inner(self, inner: "_Extent") -> "_Extent":
        """This one with another subschema in it."""
        depth = max(self.depth, inner.depth + 1)
        return _Extent(self.size + inner.size, depth, self.patterns + inner.patterns)


class _Expansion:
    """Measures a schema with every reference spelled out, without spelling them out."""

    def __init__(self, schema: Object) -> None:
        self._schema = schema
        self._known: dict[Path, _Extent] = {}
        self._open: set[Path] = set()

    def extent(self, place: Path) -> _Extent:
        """What the subschema at `place` comes to. Raises InvalidValue."""
        known = self._known.get(place)
        if known is not None:
            return known
        if place in self._open:
            reason = "it refers to itself: spell out as many levels as there are"
            raise InvalidValue(_schema_place(place), reason)
        self._open.add(place)
        found = _Extent(1, 1, self._patterns(place))
        # The stack of this walk, before what it finds below is known.
        self._check(place, _Extent(1, len(self._open), 0))
        for inner in self._inner(place):
            found = found.with_inner(self.extent(inner))
            self._check(place, found)
        self._open.remove(place)
        self._known[place] = found
        return found

    def _check(self, place: Path, extent: _Extent) -> None:
        for count, limit, what in (
            (extent.size, SUBSCHEMAS_MAX, "subschemas"),
            (extent.patterns, PATTERNS_MAX, "patterns"),
            (extent.depth, NESTED_MAX, "subschemas within each other"),
        ):
            if count > limit:
                reason = f"over {limit} {what} with its references spelled out: simplify it"
                raise InvalidValue(_schema_place(place), reason)

    def _patterns(self, place: Path) -> int:
        schema = resolved(self._schema, place)
        if not isinstance(schema, dict):
            return 0
        keyed = schema.get("patternProperties")
        return ("pattern" in schema) + (len(keyed) if isinstance(keyed, dict) else 0)

    def _inner(self, place: Path) -> list[Path]:
        schema = resolved(self._schema, place)
        if not isinstance(schema, dict):
            return []
        for keyword in schema.keys() & _UNSUPPORTED.keys():
            raise InvalidValue(_schema_place((*place, keyword)), f"not supported: {_UNSUPPORTED[keyword]}")
        if place != ROOT and "$id" in schema:
            raise InvalidValue(_schema_place((*place, "$id")), "only the whole schema may have an $id")
        found = [(*place, keyword) for keyword in _SINGLES if keyword in schema]
        for keyword in (*_MAPS, *_LISTS):
            held = schema.get(keyword)
            keys = (
                held
                if isinstance(held, dict)
                else map(str, range(len(held)))
                if isinstance(held, list)
                else ()
            )
            inner = [(*place, keyword, key) for key in keys]
            if keyword in _SHELVES:
                for shelved in inner:  # counted where somebody refers to it, and checked in any case
                    self.extent(shelved)
            else:
                found += inner
        if "$ref" in schema:
            found.append(self._referred((*place, "$ref"), schema["$ref"]))
        return found

    def _referred(self, place: Path, reference: Json) -> Path:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            reason = (
                f"{reference!a} leads outside: only places in this schema, as #/$defs/limit, are followed"
            )
            raise InvalidValue(_schema_place(place), reason)
        try:
            target = parse_pointer(unquote(reference[1:]))
        except InvalidPath as error:
            raise InvalidValue(_schema_place(place), error.reason) from error
        if not isinstance(resolved(self._schema, target), dict | bool):
            raise InvalidValue(_schema_place(place), f"there is no schema at {reference!a}")
        return target


def _schema_place(place: Path) -> str:
    return render_pointer(("schema", *place))


def _count(value: Json) -> int:
    """How many values a content holds, itself included."""
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_count, value))
    return 1
