"""Whether a schema document demands anything, known without loading what would judge by it.

Most schemas only name policies and explain themselves. They cost a writer nothing.
"""

from anabranch_sync.value import Json

# Keywords that no content can break.
_IDLE = {
    *("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"),
    *("readOnly", "writeOnly", "format", "contentEncoding", "contentMediaType", "contentSchema"),
    # Reached by reference only.
    *("$defs", "definitions"),
}


def demands(schema_document: dict[str, Json]) -> bool:
    """Whether a content can break its JSON Schema or one of its rules."""
    return bool(schema_document.get("rules")) or _demands(schema_document.get("schema"))


def _demands(schema: Json) -> bool:
    if not isinstance(schema, dict):
        return schema is False
    for keyword, value in schema.items():
        if keyword in _IDLE or keyword.startswith("x-"):
            continue
        if keyword == "properties" and isinstance(value, dict):
            if any(_demands(inner) for inner in value.values()):
                return True
        elif keyword != "additionalProperties" or _demands(value):
            return True
    return False
