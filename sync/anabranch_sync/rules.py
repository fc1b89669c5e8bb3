"""Rules over several fields of one document, which JSON Schema cannot say.

A schema document may carry them beside its JSON Schema::

    "rules": [
      {"name": "min below max",
       "require": ["/limits/min", "<=", "/limits/max"]},
      {"name": "a fallback when the model is external",
       "when": ["/model/host", "in", ["openai", "anthropic"]],
       "require": {"present": "/model/fallback"},
       "message": "external models fail; name what answers instead"}
    ]

A condition is one of

- ``[LEFT, OP, RIGHT]`` with ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``not in``. A string that
  begins with ``/`` points into the document (a number in it counts a list's items from 0); all else is a
  constant. ``{"value": "/etc"}`` is the constant that looks like a pointer;
- ``{"present": "/a"}``, ``{"absent": "/a"}``;
- ``{"all": [...]}``, ``{"any": [...]}``, ``{"not": CONDITION}``.

A comparison of which an operand is missing says nothing, and a rule that depends on it does not apply;
whoever wants the field there says ``present``. Numbers compare by value (``1`` equals ``1.0``, ``true``
does not), strings by code point; nothing else is before or after anything. The language is closed: it has
no loops, no arithmetic and no functions, so a rule costs a few microseconds whatever it says.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from anabranch_sync.errors import InvalidPath, InvalidValue
from anabranch_sync.ids import is_line
from anabranch_sync.path import Path, parse_pointer, render_pointer
from anabranch_sync.value import Json, Object, canonical, kind, render_json
from anabranch_sync.violation import Violation, brief

# What one document type needs is a dozen; the limits bound the time that judging one content takes.
RULES_MAX = 100
CONDITIONS_MAX = 50
LISTED_MAX = 1_000
# A name stands in front of every message; what a rule says may be twice as long.
NAME_CHARS_MAX = 100
# A value in a message: enough to recognise it.
SHOWN_CHARS_MAX = 60

# A list within a document has fewer items than eight digits can count.
_INDEX = re.compile(r"0|[1-9][0-9]{0,7}")

_ORDER: dict[str, Callable[[Json, Json], bool]] = {
    "<": lambda one, other: one < other,  # type: ignore[operator]
    "<=": lambda one, other: one <= other,  # type: ignore[operator]
    ">": lambda one, other: one > other,  # type: ignore[operator]
    ">=": lambda one, other: one >= other,  # type: ignore[operator]
}
_OPERATORS = ("==", "!=", *_ORDER, "in", "not in")
_WORDS = {
    "==": "equal to",
    "!=": "other than",
    "<": "below",
    "<=": "at most",
    ">": "above",
    ">=": "at least",
    "in": "one of",
    "not in": "none of",
}
# The operator seen from its right operand, for telling both ways out.
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Pointer:
    """A place in the document."""

    path: Path

    def __str__(self) -> str:
        return render_pointer(self.path)


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that the schema document gives."""

    value: Json

    def __str__(self) -> str:
        return shown(self.value)


Operand: TypeAlias = Pointer | Constant


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison of two operands."""

    left: Operand
    operator: str
    right: Operand

    def __str__(self) -> str:
        return f"{self.left} {_WORDS[self.operator]} {self.right}"


@dataclass(frozen=True, slots=True)
class Present:
    """Whether there is a value at a place."""

    pointer: Pointer
    wanted: bool

    def __str__(self) -> str:
        return f"{self.pointer} {'present' if self.wanted else 'absent'}"


@dataclass(frozen=True, slots=True)
class Every:
    """All of the parts, or, unless `every`, at least one."""

    parts: "tuple[Condition, ...]"
    every: bool

    def __str__(self) -> str:
        return (" and " if self.every else " or ").join(f"({part})" for part in self.parts)


@dataclass(frozen=True, slots=True)
class Negated:
    """The contrary of a condition."""

    part: "Condition"

    def __str__(self) -> str:
        return f"not ({self.part})"


Condition: TypeAlias = Compare | Present | Every | Negated


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What `require` says must hold wherever `when` holds."""

    name: str
    when: Condition | None
    require: Condition
    message: str

    def violation(self, content: Object) -> Violation | None:
        """What the rule finds wrong with `content`."""
        if self.when is not None and not _holds(self.when, content):
            return None
        if _holds(self.require, content) is not False:
            return None
        broken = _broken(self.require, content)
        reason, passes = self._reason(broken, content), self._passes(broken, content)
        return Violation(_place(broken), self.name, brief(reason), brief(passes))

    def _reason(self, broken: Condition, content: Object) -> str:
        found = []
        for pointer in _pointers(broken):
            value = _value(pointer, content)
            found.append(f"{pointer} is {'absent' if value is None else shown(value.value)}")
        facts = " and ".join(dict.fromkeys(found))
        return f"{facts}: {self.message}" if self.message else facts

    def _passes(self, broken: Condition, content: Object) -> str:
        way_out = str(broken)
        if isinstance(broken, Compare) and broken.operator in _MIRRORED:
            one, other = _value(broken.left, content), _value(broken.right, content)
            assert one, "a comparison that fails has both operands"
            assert other, "a comparison that fails has both operands"
            way_out = str(Compare(broken.left, broken.operator, other))
            if isinstance(broken.right, Pointer):
                # Two fields disagree, and either may be the one to mend.
                mirrored = str(Compare(broken.right, _MIRRORED[broken.operator], one))
                way_out = f"{way_out}, or {mirrored}" if isinstance(broken.left, Pointer) else mirrored
        return way_out if self.when is None else f"{way_out}, as long as {self.when}"


def parse_rules(raw: Json, place: str) -> tuple[FieldRule, ...]:
    """The rules of a schema document's ``rules``. Raises InvalidValue naming what is wrong."""
    if not isinstance(raw, list):
        raise InvalidValue(place, f"rules are a list, not {kind(raw)}")
    if len(raw) > RULES_MAX:
        raise InvalidValue(place, f"{len(raw)} rules, limit {RULES_MAX}: divide the document they judge")
    rules = [_rule(each, f"{place}/{index}") for index, each in enumerate(raw)]
    names = [rule.name for rule in rules]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidValue(
                f"{place}/{index}/name", f"two rules are named {name!a}: name each its own way"
            )
    return tuple(rules)


def shown(value: Json) -> str:
    """A value for a message, cut where it is long."""
    text = render_json(value)
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[: SHOWN_CHARS_MAX - 1]}…"


def _rule(raw: Json, place: str) -> FieldRule:
    if not isinstance(raw, dict):
        raise InvalidValue(place, f'a rule is an object {{"name": ..., "require": ...}}, not {kind(raw)}')
    for key in raw.keys() - {"name", "when", "require", "message"}:
        raise InvalidValue(f"{place}/{key}", "a rule has name, require and perhaps when and message")
    name, message = raw.get("name"), raw.get("message", "")
    for key, text in (("name", name), ("message", message)):
        if not isinstance(text, str) or not is_line(text) or len(text) > NAME_CHARS_MAX * 2:
            raise InvalidValue(f"{place}/{key}", "it is a line of text that people read")
    if not name or len(str(name)) > NAME_CHARS_MAX or str(name).startswith("#"):
        raise InvalidValue(f"{place}/name", f"a name has 1 to {NAME_CHARS_MAX} characters and no # in front")
    if "require" not in raw:
        raise InvalidValue(place, "a rule needs `require`: the condition that must hold")
    reader = _Reader()
    when = reader.condition(raw["when"], f"{place}/when") if "when" in raw else None
    require = reader.condition(raw["require"], f"{place}/require")
    return FieldRule(str(name), when, require, str(message))


class _Reader:
    """Reads the conditions of one rule and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def condition(self, raw: Json, place: str) -> Condition:
        self.count += 1
        if self.count > CONDITIONS_MAX:
            raise InvalidValue(place, f"more than {CONDITIONS_MAX} conditions in one rule: make it several")
        if isinstance(raw, list):
            return _compare(raw, place)
        if not isinstance(raw, dict) or len(raw) != 1:
            reason = 'a condition is [LEFT, OP, RIGHT], {"present": POINTER}, {"absent": POINTER}, '
            raise InvalidValue(place, reason + '{"all": [...]}, {"any": [...]} or {"not": CONDITION}')
        ((word, part),) = raw.items()
        inner = f"{place}/{word}"
        if word in ("present", "absent"):
            return Present(_pointer(part, inner), word == "present")
        if word == "not":
            return Negated(self.condition(part, inner))
        if word in ("all", "any"):
            if not isinstance(part, list) or not part:
                raise InvalidValue(inner, "it needs a list of conditions")
            parts = tuple(self.condition(each, f"{inner}/{index}") for index, each in enumerate(part))
            return Every(parts, word == "all")
        raise InvalidValue(inner, "no such condition: use present, absent, all, any or not")


def _compare(raw: list[Json], place: str) -> Compare:
    if len(raw) != 3:
        raise InvalidValue(
            place, f'a comparison is [LEFT, OP, RIGHT], as in ["/min", "<=", "/max"], not {raw!a}'
        )
    left, operator, right = raw
    if not isinstance(operator, str) or operator not in _OPERATORS:
        raise InvalidValue(f"{place}/1", f"no such operator: use one of {', '.join(_OPERATORS)}")
    one, other = _operand(left, f"{place}/0"), _operand(right, f"{place}/2")
    if isinstance(one, Constant) and isinstance(other, Constant):
        raise InvalidValue(place, "it compares two constants: one side points into the document")
    if operator in ("in", "not in") and isinstance(other, Constant):
        listed = other.value
        if not isinstance(listed, list) or not 0 < len(listed) <= LISTED_MAX:
            raise InvalidValue(f"{place}/2", f"{operator} needs a list of 1 to {LISTED_MAX} values")
    return Compare(one, operator, other)


def _operand(raw: Json, place: str) -> Operand:
    if isinstance(raw, str) and raw.startswith("/"):
        return _pointer(raw, place)
    if isinstance(raw, dict):
        if raw.keys() != {"value"}:
            raise InvalidValue(place, 'a constant object is written {"value": ...}')
        return Constant(raw["value"])
    return Constant(raw)


def _pointer(raw: Json, place: str) -> Pointer:
    if not isinstance(raw, str):
        raise InvalidValue(place, f"a place is a JSON Pointer, as in /limits/max, not {kind(raw)}")
    try:
        return Pointer(parse_pointer(raw))
    except InvalidPath as error:
        raise InvalidValue(place, error.reason) from error


def _holds(condition: Condition, content: Object) -> bool | None:
    """Whether it holds; None where a missing operand leaves it open."""
    match condition:
        case Compare(left, operator, right):
            one, other = _value(left, content), _value(right, content)
            return None if one is None or other is None else _compared(one.value, operator, other.value)
        case Present(pointer, wanted):
            return (_value(pointer, content) is not None) is wanted
        case Negated(part):
            held = _holds(part, content)
            return None if held is None else not held
        case Every(parts, every):
            held_parts = [_holds(part, content) for part in parts]
            if (not every) in held_parts:
                return not every
            return None if None in held_parts else every


def _compared(one: Json, operator: str, other: Json) -> bool:
    match operator:
        case "==":
            return _equal(one, other)
        case "!=":
            return not _equal(one, other)
        case "in" | "not in":
            found = isinstance(other, list) and any(_equal(one, each) for each in other)
            return found is (operator == "in")
    comparable = (_is_number(one) and _is_number(other)) or (isinstance(one, str) and isinstance(other, str))
    return comparable and _ORDER[operator](one, other)


def _equal(one: Json, other: Json) -> bool:
    """As in JSON Schema: numbers by value, all else by type and content."""
    if _is_number(one) and _is_number(other):
        return one == other
    return type(one) is type(other) and canonical(one) == canonical(other)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(operand: Operand, content: Object) -> Constant | None:
    """The operand's value; None where its place is empty."""
    if isinstance(operand, Constant):
        return operand
    value: Json = content
    for key in operand.path:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return Constant(value)


def _broken(condition: Condition, content: Object) -> Condition:
    """The part of a broken condition that its author must mend: the one failing part of an `all`."""
    if isinstance(condition, Every) and condition.every:
        for part in condition.parts:
            if _holds(part, content) is False:
                return _broken(part, content)
    return condition


def _place(condition: Condition) -> str:
    return next((str(pointer) for pointer in _pointers(condition)), "")


def _pointers(condition: Condition) -> list[Pointer]:
    """The places a condition looks at, in the order written."""
    match condition:
        case Compare(left, _, right):
            return [operand for operand in (left, right) if isinstance(operand, Pointer)]
        case Present(pointer, _):
            return [pointer]
        case Negated(part):
            return _pointers(part)
        case Every(parts, _):
            return [pointer for part in parts for pointer in _pointers(part)]
