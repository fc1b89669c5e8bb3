"""A JSON Schema in the words of a person who must write a value that passes."""

from collections.abc import Sequence

from anabranch_sync.path import Path, parse_pointer
from anabranch_sync.rules import shown
from anabranch_sync.value import Json, Object

# Longer lists and deeper nesting do not help a reader of one line.
NAMED_MAX = 8
DEPTH_MAX = 4

_NOUNS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "a string",
    "array": "a list",
    "object": "an object",
}
# Keywords that tell which type is meant where none is named.
_TELLING: dict[str, tuple[str, ...]] = {
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("minItems", "maxItems", "uniqueItems", "items", "contains", "minContains", "maxContains"),
    "object": ("required", "minProperties", "maxProperties", "propertyNames", "dependentRequired"),
}


def described(root: Object, schema: Json, depth: int = 0) -> str:
    """What passes `schema`, a part of `root`, on one line: "a whole number from 1 to 600"."""
    if schema is False:
        return "nothing"
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return "any value" if schema is True else "what the schema says"
    if "const" in schema:
        return f"exactly {shown(schema['const'])}"
    if isinstance(options := schema.get("enum"), list):
        return _one_of([shown(option) for option in options])
    parts = [_own(root, schema, depth)]
    if isinstance(reference := schema.get("$ref"), str):
        parts.append(described(root, resolved(root, parse_pointer(reference.removeprefix("#"))), depth + 1))
    for keyword, joint in (("allOf", " and "), ("anyOf", " or "), ("oneOf", " or ")):
        if isinstance(branches := schema.get(keyword), list):
            phrases = dict.fromkeys(described(root, branch, depth + 1) for branch in branches[:NAMED_MAX])
            parts.append(("exactly one of: " if keyword == "oneOf" else "") + joint.join(phrases))
    if "not" in schema:
        parts.append(f"anything but {described(root, schema['not'], depth + 1)}")
    said = [part for part in parts if part]
    return ", and ".join(said) or "what the schema says"


def _own(root: Object, schema: Object, depth: int) -> str:
    """The keywords that look at the value itself."""
    named = schema.get("type")
    types = [named] if isinstance(named, str) else named if isinstance(named, list) else _implied(schema)
    phrases = [_typed(root, schema, str(each), depth) for each in types]
    return " or ".join(phrases)


def _implied(schema: Object) -> Sequence[Json]:
    return [name for name, keywords in _TELLING.items() if any(keyword in schema for keyword in keywords)][:1]


def _typed(root: Object, schema: Object, name: str, depth: int) -> str:
    noun = _NOUNS.get(name, name)
    match name:
        case "integer" | "number":
            return f"{noun}{_range(schema)}"
        case "string":
            length = _size(schema, "minLength", "maxLength", "character")
            pattern = f" that matches {schema['pattern']}" if "pattern" in schema else ""
            return f"{noun}{length}{pattern}"
        case "array":
            size = _size(schema, "minItems", "maxItems", "item")
            different = ", all different" if schema.get("uniqueItems") is True else ""
            holding = ""
            if isinstance(items := schema.get("items"), dict) and depth < DEPTH_MAX:
                holding = f", each {described(root, items, depth + 1)}"
            if "contains" in schema:
                held = described(root, schema["contains"], depth + 1)
                holding += f", {shown(schema.get('minContains', 1))} or more of them {held}"
            return f"{noun}{size}{different}{holding}"
        case "object":
            required = schema.get("required")
            if isinstance(required, list) and required:
                return f"{noun} with {', '.join(str(each) for each in required[:NAMED_MAX])}"
            size = _size(schema, "minProperties", "maxProperties", "member")
            if "propertyNames" not in schema:
                return f"{noun}{size}"
            return f"{noun}{size}, each name {described(root, schema['propertyNames'], depth + 1)}"
    return noun


def _range(schema: Object) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    words = []
    if low is not None and high is not None:
        words.append(f"from {shown(low)} to {shown(high)}")
    elif low is not None:
        words.append(f"of at least {shown(low)}")
    elif high is not None:
        words.append(f"of at most {shown(high)}")
    if above is not None:
        words.append(f"above {shown(above)}")
    if below is not None:
        words.append(f"below {shown(below)}")
    if "multipleOf" in schema:
        words.append(f"divisible by {shown(schema['multipleOf'])}")
    return "".join(f" {word}" for word in words)


def _size(schema: Object, least: str, most: str, unit: str) -> str:
    low, high = schema.get(least), schema.get(most)
    if low is not None and high is not None:
        return f" of {shown(low)} to {shown(high)} {unit}s"
    if low is not None:
        return f" of at least {shown(low)} {unit}{'' if low == 1 else 's'}"
    if high is not None:
        return f" of at most {shown(high)} {unit}{'' if high == 1 else 's'}"
    return ""


def _one_of(options: list[str]) -> str:
    if len(options) == 1:
        return f"exactly {options[0]}"
    more = len(options) - NAMED_MAX
    return f"one of {', '.join(options[:NAMED_MAX])}" + (f" or {more} more" if more > 0 else "")


def resolved(root: Json, place: Path) -> Json:
    """What stands at `place` of a schema; None where there is nothing."""
    found = root
    for key in place:
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and len(key) < 9 and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found
