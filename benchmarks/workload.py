"""The documents that all are measured with: the configuration of an LLM platform, from a fixed seed.

The same documents everywhere, byte for byte, as JSON objects of 0.5 to 8 KB with some 45 leaves each::

    {tenant}/prod/{models|prompts|routes|guardrails|tools|teams}/{team}    key = topic, word and number

They are as little repetitive as such documents are: `xz -9` brings 1,000 of them from 2.15 MB to 380 kB.
Document n is a function of the seed and of n alone, so that more of them begin with the same ones.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import TypeAlias

from anabranch_hub.demo.catalogue import CatalogueDocument
from anabranch_sync.value import Json

from benchmarks.words import AGENTS, BRANDS, PLACES, REGIONS, SUBJECTS, TEAMS, TOPICS, VERBS, WORDS

SEED = 20_261
PARAMETERS = [
    "query",
    "limit",
    "since",
    "until",
    "language",
    "format",
    "currency",
    "account",
    "region",
    "owner",
]
ACTIONS = ["block", "redact", "warn", "log", "escalate"]
DETECTORS = ["regex", "classifier", "embedding", "keyword", "model"]
MEASURES = ["reasoning", "coding", "extraction", "dialogue", "safety", "tools", "vision"]
ABILITIES = ["streaming", "tools", "vision", "audio", "json_output", "reasoning", "batch", "fine_tuning"]

Chance: TypeAlias = random.Random
Object: TypeAlias = dict[str, Json]


def documents(tenant: str, number: int | None = None) -> Iterator[CatalogueDocument]:
    """Yield the first `number` documents, or without end."""
    kinds = list(CONTENTS)
    for nth in count() if number is None else range(number):
        chance = Chance(f"{SEED}/{nth}")
        kind = kinds[nth % len(kinds)]
        key = f"{chance.choice(TOPICS)}-{chance.choice(WORDS)}-{nth}"
        namespace = f"{tenant}/prod/{kind}/{chance.choice(TEAMS)}"
        yield CatalogueDocument(namespace, key, CONTENTS[kind](chance))


def _model(chance: Chance) -> Object:
    brand = chance.choice(BRANDS)
    name = f"{brand}-{chance.randrange(1, 9)}-{chance.choice(WORDS)}"
    window_tokens = 2 ** chance.randrange(13, 21)
    input_price = chance.randrange(50, 20_000) * 1_000
    return {
        **_head(chance),
        "model": name,
        "vendor": brand,
        "context_window_tokens": window_tokens,
        "answer_tokens_max": window_tokens // 2 ** chance.randrange(1, 5),
        "pricing": {
            "currency": "micro-USD",
            "input_mtok": input_price,
            "cached_input_mtok": input_price // 10,
            "output_mtok": input_price * chance.randrange(2, 6),
            "batch_discount_percent": chance.choice([0, 25, 50]),
        },
        "limits": {
            "requests_per_minute": chance.randrange(1, 120) * 50,
            "tokens_per_minute": chance.randrange(10, 900) * 1_000,
            "concurrent_requests_max": chance.randrange(4, 128),
        },
        "endpoint": {
            "url": f"https://{chance.choice(REGIONS)}.{brand}.example/v1/{_hex(chance, 8)}",
            "region": chance.choice(REGIONS),
            "connect_timeout_ms": chance.choice([1_000, 2_000, 3_000]),
            "answer_timeout_ms": chance.randrange(20, 300) * 1_000,
            "retries_max": chance.randrange(5),
            "credential": f"vault:llm/{brand}/{_hex(chance, 12)}",
        },
        "abilities": {each: chance.random() < 0.6 for each in ABILITIES},
        "scores": {each: chance.randrange(200, 980) for each in MEASURES},
        "routing": {"weight": chance.randrange(1, 100), "priority": chance.randrange(5)},
        "notes": _text(chance, chance.randrange(2, 13)),
    }


def _prompt(chance: Chance) -> Object:
    variables = chance.sample(SUBJECTS, chance.randrange(3, 8))
    return {
        **_head(chance),
        "system": _text(chance, chance.randrange(8, 97)),
        "user": f"{_text(chance, 2)} {{{{{variables[0]}}}}}",
        "settings": {
            "temperature_percent": chance.randrange(0, 120, 5),
            "top_p_percent": chance.randrange(50, 100),
            "answer_tokens_max": chance.randrange(2, 80) * 100,
            "stop": chance.sample(["###", "END", "\n\n", "</answer>"], 2),
            "seed": chance.randrange(10**6),
        },
        "variables": {
            each: {"required": chance.random() < 0.5, "characters_max": chance.randrange(20, 4_000)}
            for each in variables
        },
        "examples": [
            {"question": _text(chance, 1), "answer": _text(chance, 2)} for _ in range(chance.randrange(1, 6))
        ],
        "experiment": {
            "id": _hex(chance, 12),
            "share_percent": chance.randrange(1, 100),
            "baseline_version": chance.randrange(1, 60),
        },
    }


def _route(chance: Chance) -> Object:
    return {
        **_head(chance),
        "when": {
            "intent": chance.choice(TOPICS),
            "language": chance.choice(["any", "en", "de", "fr", "es", "pt", "hi", "ja"]),
            "tokens_above": chance.randrange(0, 64) * 500,
            "priority_at_least": chance.randrange(5),
        },
        "routing": {
            "weight": chance.randrange(1, 100),
            "strategy": chance.choice(["weighted", "cheapest", "fastest"]),
        },
        "targets": {
            f"{chance.choice(BRANDS)}-{nth}": {
                "weight": chance.randrange(1, 100),
                "timeout_ms": chance.randrange(2, 240) * 500,
                "retries_max": chance.randrange(4),
                "region": chance.choice(REGIONS),
                "deployment": _hex(chance, 8),
            }
            for nth in range(chance.randrange(3, 10))
        },
        "breaker": {
            "errors_max": chance.randrange(2, 40),
            "window_s": chance.randrange(5, 300),
            "open_s": chance.randrange(5, 120),
        },
        "cache": {
            "enabled": chance.random() < 0.7,
            "ttl_s": chance.randrange(1, 200) * 30,
            "similarity_percent": chance.randrange(80, 100),
        },
        "reason": _text(chance, chance.randrange(1, 11)),
    }


def _guardrail(chance: Chance) -> Object:
    return {
        **_head(chance),
        "stage": chance.choice(["input", "output", "tool"]),
        "rules": {
            f"{chance.choice(VERBS)}-{chance.choice(SUBJECTS)}": {
                "detector": chance.choice(DETECTORS),
                "action": chance.choice(ACTIONS),
                "threshold_permille": chance.randrange(300, 999),
                "enabled": chance.random() < 0.85,
                "message": _text(chance, 1),
            }
            for _ in range(chance.randrange(3, 12))
        },
        "words": chance.sample(WORDS, chance.randrange(4, 24)),
        "budget_ms": chance.randrange(10, 400),
        "fail": chance.choice(["open", "closed"]),
        "review": {"queue": chance.choice(TEAMS), "share_permille": chance.randrange(1, 100)},
    }


def _tool(chance: Chance) -> Object:
    return {
        **_head(chance),
        "tool": f"{chance.choice(VERBS)}_{chance.choice(SUBJECTS)}",
        "description": _text(chance, chance.randrange(2, 13)),
        "input": {
            each: {
                "type": chance.choice(["string", "integer", "boolean", "array"]),
                "description": _text(chance, 1),
                "required": chance.random() < 0.5,
            }
            for each in chance.sample(PARAMETERS, chance.randrange(3, 10))
        },
        "endpoint": {
            "url": f"https://tools.example/{chance.choice(TEAMS)}/{_hex(chance, 6)}",
            "timeout_ms": chance.randrange(1, 60) * 500,
            "credential": f"vault:tools/{_hex(chance, 12)}",
        },
        "limits": {
            "calls_per_minute": chance.randrange(1, 200) * 10,
            "answer_bytes_max": chance.randrange(1, 64) * 4_096,
            "cost_micro_usd": chance.randrange(0, 5_000),
        },
        "confirm": chance.random() < 0.3,
    }


def _team(chance: Chance) -> Object:
    return {
        **_head(chance),
        "cost_center": f"CC-{chance.randrange(10_000, 99_999)}",
        "budget": {
            "month_micro_usd": chance.randrange(100, 90_000) * 1_000_000,
            "day_micro_usd": chance.randrange(10, 4_000) * 1_000_000,
            "alert_percent": chance.randrange(50, 100, 5),
            "hard_stop": chance.random() < 0.4,
        },
        "models": {
            f"{chance.choice(BRANDS)}-{nth}": {
                "requests_per_minute": chance.randrange(1, 100) * 10,
                "tokens_per_day": chance.randrange(1, 900) * 10_000,
                "allowed": chance.random() < 0.8,
            }
            for nth in range(chance.randrange(4, 12))
        },
        "keys": {
            _hex(chance, 8): {
                "owner": chance.choice(SUBJECTS),
                "expires": _day(chance),
                "digest": _hex(chance, 40),
            }
            for _ in range(chance.randrange(1, 8))
        },
        "retention_days": chance.choice([7, 14, 30, 90, 365]),
        "notes": _text(chance, chance.randrange(1, 11)),
    }


def _head(chance: Chance) -> Object:
    return {
        "title": _text(chance, 1),
        "owner": chance.choice(TEAMS),
        "enabled": chance.random() < 0.9,
        "version": chance.randrange(1, 90),
        "changed": _day(chance),
        "labels": chance.sample(TOPICS, chance.randrange(1, 4)),
    }


def _text(chance: Chance, sentences: int) -> str:
    return " ".join(_sentence(chance) for _ in range(sentences))


def _sentence(chance: Chance) -> str:
    """Half of it from stock phrases, half in any words: as compressible as people's prompts."""
    match chance.randrange(4):
        case 0:
            words = [chance.choice(AGENTS), chance.choice(VERBS), "the", chance.choice(SUBJECTS)]
            words.append(chance.choice(PLACES))
        case 1:
            words = ["if", "the", chance.choice(SUBJECTS), "is", *chance.sample(WORDS, 3)]
            words += ["then", chance.choice(AGENTS), chance.choice(VERBS), "it", chance.choice(PLACES)]
        case _:
            words = [*chance.sample(WORDS, chance.randrange(5, 11)), chance.choice(SUBJECTS)]
    return " ".join(words).capitalize() + "."


def _hex(chance: Chance, digits: int) -> str:
    return f"{chance.getrandbits(4 * digits):0{digits}x}"


def _day(chance: Chance) -> str:
    return f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"


CONTENTS: Mapping[str, Callable[[Chance], Object]] = {
    "models": _model,
    "prompts": _prompt,
    "routes": _route,
    "guardrails": _guardrail,
    "tools": _tool,
    "teams": _team,
}
