"""What the simulated fleet holds valid: a rule over two fields, always, and a limit that comes and goes."""

import random

from anabranch_sync.document import Object
from anabranch_sync.ids import document_id
from anabranch_sync.policy import PRIORITY_KEYWORD, policies_from
from anabranch_sync.priority import URGENT

SCHEMA_DOCUMENT = document_id("system/schemas", "router")
URGENT_DOCUMENT = document_id("system/schemas", "urgent")
URGENT_NAMESPACE = "acme/prod/router/r0"
_POLICIES: Object = {
    "hub": {"x-anabranch-merge": "hub"},
    "edge": {"x-anabranch-merge": "edge"},
    "max": {"x-anabranch-merge": "max"},
    "min": {"x-anabranch-merge": "min"},
    "set": {"x-anabranch-merge": "union"},
    "manual": {"x-anabranch-merge": "manual"},
    "counter": {"x-anabranch-merge": "counter"},
    "text": {"x-anabranch-merge": "text"},
    "list": {"x-anabranch-merge": "list"},
}
RANGE = ("low", "high")
HIGH_MAX = 9
REPAIRED: Object = {"low": 0, "high": 0}


def schema(high_max: int) -> Object:
    """The schema document of the fleet's routers."""
    limits: Object = {"low": {"type": "integer"}, "high": {"type": "integer", "maximum": high_max}}
    return {
        "namespaces": ["acme/*"],
        "schema": {"properties": {**_POLICIES, **limits}},
        "rules": [{"name": "low below high", "require": ["/low", "<=", "/high"]}],
    }


def urgent_schema(high_max: int) -> Object:
    """The same for one of them, which is urgent."""
    document = schema(high_max)
    policies = document["schema"]
    assert isinstance(policies, dict), "as it was made"
    return {**document, "namespaces": [URGENT_NAMESPACE], "schema": {**policies, PRIORITY_KEYWORD: URGENT}}


# What every schema of a life demands: no reader may ever see anything else, whenever it was judged.
ALWAYS = policies_from([(SCHEMA_DOCUMENT, 1, schema(HIGH_MAX))])


def ranged(content: Object, chance: random.Random) -> None:
    """Move one end of the range; by itself that is as often valid as not."""
    content[chance.choice(RANGE)] = chance.randrange(HIGH_MAX + 1)
