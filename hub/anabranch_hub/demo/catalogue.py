"""The real model and price catalogue of the package genai-prices, as configuration documents of a gateway.

Each model of each provider becomes one document, and so does each provider:

    {tenant}/{environment}/router/{provider}    key = the model, or `config` for the provider itself

Names, descriptions, price histories, tiers, variants, notes, match rules and the places of token counts in
answers are the catalogue's own. What a catalogue cannot know (rate limits, time-outs, teams) is a constant
rule below. The same version of genai-prices gives the same documents, byte for byte.

Prices are integers of micro-dollars per priced unit (`input_mtok`: per million input tokens), so that no
float ever rounds money; the few that are no whole micro-dollars are strings with the exact decimal.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from anabranch_sync.value import Json
from genai_prices import data
from genai_prices.types import (
    ArrayMatch,
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
    UsageExtractor,
)

# The seed's environments, and the share of production's limits that each is given.
ENVIRONMENTS: Mapping[str, Fraction] = {
    "prod": Fraction(1),
    "staging": Fraction(1, 4),
    "dev": Fraction(1, 20),
    "edge": Fraction(1, 2),
}
MODULE = "router"
PROVIDER_KEY = "config"

REQUESTS_PER_MINUTE = 600
CONCURRENT_REQUESTS_MAX = 64
# Twenty full prompts a minute; a model that states no context window is taken for a small one.
FULL_PROMPTS_PER_MINUTE = 20
CONTEXT_WINDOW_TOKENS_ASSUMED = 8_192
CONNECT_TIMEOUT_MS = 3_000
# Long prompts answer late: half a minute, and as much again for each 100,000 tokens of context.
ANSWER_TIMEOUT_MS = 30_000
ANSWER_TIMEOUT_TOKENS = 100_000
RETRIES_MAX = 2
FAILOVERS_MAX = 5
FAILOVER_AFTER_ERRORS = 3
# A team may call every model up to its price; above it only those who asked for it.
DEAR_FROM_MICRO_USD = 20_000_000
TEAMS_ALWAYS = ("platform", "research")
TEAMS_UNLESS_DEAR = ("analytics", "support")

MICRO_USD = 1_000_000
# A key is a file name and a URL segment (anabranch_sync.ids); the longest model id known has 61 characters.
KEY_CHARS_MAX = 120
COLLISION_HEX_DIGITS = 8

# Providers whose pattern is no plain address: a customer's own host, a region, several names of one host.
ADDRESSES: Mapping[str, str] = {
    "aws": "https://bedrock-runtime.us-east-1.amazonaws.com",
    "azure": "https://resource.openai.azure.com",
    "cloudflare": "https://api.cloudflare.com/client/v4/accounts/account/ai",
    "cohere": "https://api.cohere.com",
    "databricks": "https://workspace.cloud.databricks.com/serving-endpoints",
    "elevenlabs": "https://api.elevenlabs.io",
    "google": "https://generativelanguage.googleapis.com",
    "minimax": "https://api.minimax.io",
    "modal": "https://workspace.modal.run",
    "moonshotai": "https://api.moonshot.ai",
    "openrouter": "https://openrouter.ai",
}

Clause: TypeAlias = (
    ClauseStartsWith | ClauseEndsWith | ClauseContains | ClauseRegex | ClauseEquals | ClauseOr | ClauseAnd
)
Constraint: TypeAlias = StartDateConstraint | TimeOfDateConstraint


@dataclass(frozen=True, slots=True)
class CatalogueDocument:
    """One configuration document: its address and its content, a JSON object of 0.5 to 8 KB."""

    namespace: str
    key: str
    content: dict[str, Json]


def documents(tenant: str, count: int | None = None) -> Iterator[CatalogueDocument]:
    """Yield `count` documents of `tenant`, or all of its production ones if None.

    Fewer than all are spread evenly over the catalogue; more than production has are followed by those of
    the other environments. Raises ValueError if the catalogue has fewer than `count`.
    """
    sources = list(_sources(data.providers))
    wanted = len(sources) if count is None else count
    available = len(sources) * len(ENVIRONMENTS)
    if not 0 <= wanted <= available:
        raise ValueError(f"{wanted} catalogue documents wanted, 0 to {available} available: use more tenants")
    environments = list(ENVIRONMENTS)[: max(1, -(-wanted // len(sources)))]
    failovers = _Failovers(data.providers)
    spread = len(sources) * len(environments)
    for nth in range(wanted):
        position = nth * spread // wanted
        environment = environments[position // len(sources)]
        source = sources[position % len(sources)]
        yield CatalogueDocument(
            namespace=f"{tenant}/{environment}/{MODULE}/{source.provider.id}",
            key=source.key,
            content=_provider_content(source.provider, environment)
            if source.model is None
            else _model_content(source.provider, source.model, environment, failovers),
        )


def keys(model_ids: Sequence[str]) -> list[str]:
    """Return a document key for each of a provider's models, in their order.

    A key is the model's id in lower case with '-' for whatever a key cannot hold. Ids that become equal by
    that, or equal to the provider's own key, all get the start of their SHA-256 appended: so a key depends
    on its id, never on the order.
    """
    slugs = [_slug(model_id) for model_id in model_ids]
    uses = Counter([*slugs, PROVIDER_KEY])
    return [
        slug if uses[slug] == 1 else f"{slug}-{_fingerprint(model_id)}"
        for slug, model_id in zip(slugs, model_ids, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Source:
    """What a document is made of: a provider's model, or the provider itself."""

    provider: Provider
    key: str
    model: ModelInfo | None


def _sources(providers: Sequence[Provider]) -> Iterator[_Source]:
    for provider in providers:
        yield _Source(provider, PROVIDER_KEY, None)
        for key, model in zip(keys([model.id for model in provider.models]), provider.models, strict=True):
            yield _Source(provider, key, model)


def _slug(model_id: str) -> str:
    slug = re.sub(r"[^a-z0-9._-]+", "-", model_id.lower())
    slug = re.sub(r"\.{2,}", ".", slug)[:KEY_CHARS_MAX].strip("-.")
    return slug or "model"


def _fingerprint(model_id: str) -> str:
    return hashlib.sha256(model_id.encode()).hexdigest()[:COLLISION_HEX_DIGITS]


class _Failovers:
    """Who else serves a model: the same name, whatever stands before the last slash or after a colon."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._served: dict[str, list[tuple[Decimal, str, str]]] = {}
        for provider in providers:
            for model in provider.models:
                if not model.deprecated:
                    offer = (_latest_usd(model, "input_mtok"), provider.id, model.id)
                    self._served.setdefault(_family(model.id), []).append(offer)
        for offers in self._served.values():
            offers.sort()

    def of(self, provider: Provider, model: ModelInfo) -> Json:
        """Return the cheapest offers of other providers, one each."""
        chosen: dict[str, str] = {}
        for _, provider_id, model_id in self._served.get(_family(model.id), []):
            if provider_id != provider.id and len(chosen) < FAILOVERS_MAX:
                chosen.setdefault(provider_id, model_id)
        return [{"provider": provider_id, "model": model_id} for provider_id, model_id in chosen.items()]


def _model_content(
    provider: Provider, model: ModelInfo, environment: str, failovers: _Failovers
) -> dict[str, Json]:
    schedule = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    return {
        "model": model.id,
        "name": model.name,
        "description": model.description,
        "enabled": not model.deprecated,
        "provider": {"id": provider.id, "name": provider.name},
        "endpoint": {
            "url": _address(provider),
            "connect_timeout_ms": CONNECT_TIMEOUT_MS,
            "answer_timeout_ms": _answer_timeout_ms(model),
            "retries_max": RETRIES_MAX,
        },
        "match": _clause(model.match),
        "context_window_tokens": model.context_window,
        "pricing": {
            "currency": "micro-USD",
            "sources": [*(provider.pricing_urls or [])],
            "notes": model.price_comments,
            "schedule": [
                {**_validity(price.constraint), "prices": _prices(price.prices)} for price in schedule
            ],
            "variants": [_variant(variant) for variant in model.price_variants or []],
        },
        "limits": _limits(model, environment),
        "routing": {
            "weight": 100,
            "failover_after_errors": FAILOVER_AFTER_ERRORS,
            "failover": failovers.of(provider, model),
        },
        "access": {"teams": _teams(model)},
        "usage": _usage(provider),
    }


def _provider_content(provider: Provider, environment: str) -> dict[str, Json]:
    return {
        "provider": provider.id,
        "name": provider.name,
        "description": provider.description,
        "enabled": True,
        "endpoint": {"url": _address(provider), "pattern": provider.api_pattern},
        "match": {
            "provider": _clause(provider.provider_match),
            "model": _clause(provider.model_match),
        },
        "pricing": {"sources": [*(provider.pricing_urls or [])], "notes": provider.price_comments},
        "limits": {"requests_per_minute": _scaled(REQUESTS_PER_MINUTE * 10, environment)},
        "routing": {"fallback_providers": [*(provider.fallback_model_providers or [])]},
        "models": len(provider.models),
        "usage": _usage(provider),
    }


def _address(provider: Provider) -> str | None:
    """Return an address that the provider's pattern accepts; None if it is new here and no plain one."""
    if provider.id in ADDRESSES:
        return ADDRESSES[provider.id]
    plain = provider.api_pattern.removesuffix("(?:/|$)").replace("\\.", ".")
    return plain if re.fullmatch(r"https://[A-Za-z0-9./_-]+", plain) else None


def _clause(clause: Clause | None) -> Json:
    match clause:
        case None:
            return None
        case ClauseStartsWith():
            return {"starts_with": clause.starts_with}
        case ClauseEndsWith():
            return {"ends_with": clause.ends_with}
        case ClauseContains():
            return {"contains": clause.contains}
        case ClauseRegex():
            return {"regex": clause.regex}
        case ClauseEquals():
            return {"equals": clause.equals}
        case ClauseOr():
            return {"any": [_clause(part) for part in clause.or_]}
        case ClauseAnd():
            return {"all": [_clause(part) for part in clause.and_]}


def _variant(variant: PriceVariant) -> Json:
    return {"when": {**variant.when}, **_validity(variant.constraint), "prices": _prices(variant.prices)}


def _validity(constraint: Constraint | None) -> dict[str, Json]:
    match constraint:
        case None:
            return {}
        case StartDateConstraint():
            return {"from_date": constraint.start_date.isoformat()}
        case TimeOfDateConstraint():
            return {
                "from_time": constraint.start_time.isoformat(),
                "to_time": constraint.end_time.isoformat(),
            }


def _prices(prices: ModelPrice) -> dict[str, Json]:
    return {unit: _price(price) for unit, price in sorted(vars(prices).items()) if price is not None}


def _price(price: Decimal | TieredPrices) -> Json:
    if isinstance(price, TieredPrices):
        tiers: list[Json] = [
            {"from_tokens": tier.start, "price": _micro_usd(tier.price)} for tier in price.tiers
        ]
        return {"base": _micro_usd(price.base), "tiers": tiers}
    return _micro_usd(price)


def _micro_usd(usd: Decimal) -> int | str:
    micro = usd * MICRO_USD
    return int(micro) if micro == int(micro) else format(micro.normalize(), "f")


def _limits(model: ModelInfo, environment: str) -> Json:
    window_tokens = model.context_window or CONTEXT_WINDOW_TOKENS_ASSUMED
    return {
        "requests_per_minute": _scaled(REQUESTS_PER_MINUTE, environment),
        "tokens_per_minute": _scaled(FULL_PROMPTS_PER_MINUTE * window_tokens, environment),
        "concurrent_requests_max": _scaled(CONCURRENT_REQUESTS_MAX, environment),
    }


def _scaled(limit: int, environment: str) -> int:
    return max(1, int(limit * ENVIRONMENTS[environment]))


def _answer_timeout_ms(model: ModelInfo) -> int:
    hundred_thousands = (model.context_window or 0) // ANSWER_TIMEOUT_TOKENS
    return ANSWER_TIMEOUT_MS * (1 + hundred_thousands)


def _teams(model: ModelInfo) -> Json:
    is_dear = _latest_usd(model, "output_mtok") * MICRO_USD >= DEAR_FROM_MICRO_USD
    return [*TEAMS_ALWAYS] if is_dear else [*TEAMS_ALWAYS, *TEAMS_UNLESS_DEAR]


def _latest_usd(model: ModelInfo, unit: str) -> Decimal:
    """Return the last listed base price, 0 if the model has none in that unit."""
    latest = model.prices[-1].prices if isinstance(model.prices, list) else model.prices
    price: Decimal | TieredPrices | None = vars(latest).get(unit)
    if isinstance(price, TieredPrices):
        return price.base
    return Decimal(0) if price is None else price


def _family(model_id: str) -> str:
    return model_id.lower().rpartition("/")[2].partition(":")[0]


def _usage(provider: Provider) -> Json:
    """Return where each kind of answer counts its tokens: {flavor: {count: place}}."""
    return {extractor.api_flavor: _places(extractor) for extractor in provider.extractors or []}


def _places(extractor: UsageExtractor) -> dict[str, Json]:
    root = _place(extractor.root)
    counts: dict[str, list[Json]] = {}
    for mapping in extractor.mappings:
        counts.setdefault(mapping.dest, []).append(f"{root}/{_place(mapping.path)}")
    places: dict[str, Json] = {"model": _place(extractor.model_path)}
    for count, at in sorted(counts.items()):
        places[count] = at[0] if len(at) == 1 else at  # several places are added up
    return places


def _place(path: str | Sequence[str | ArrayMatch]) -> str:
    steps = [path] if isinstance(path, str) else path
    return "/".join(step if isinstance(step, str) else f"[{step.field}]" for step in steps)
