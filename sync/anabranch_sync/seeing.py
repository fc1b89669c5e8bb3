"""The third acknowledgement, made cheap: several small pulls may be on their way, and are seen together.

A message costs 40 bytes of gRPC by itself, twice what a *Visible* says. So an edge answers small pulls late
and together, and the hub goes on from where the last of them leads. The first pull of a stream, and each
that came in several pieces, starts anew or replaces something, is answered at once, and until then nothing
is sent behind it.
"""

from anabranch_sync.ids import START, Cursor
from anabranch_sync.pull import Pull

# How long the hub may not know what it is told of: the operator's view of a fleet is as old.
VISIBLE_DELAY_MS = 2_000
# An edge answers at the latest when it has applied so many, and the hub sends twice as many: on a link with
# a round trip of a second, sixteen pulls a second.
OWED_PULLS_MAX = 8
UNSEEN_PULLS_MAX = 2 * OWED_PULLS_MAX


def waits(pull: Pull) -> bool:
    """Whether nothing may be sent behind it until it was seen."""
    return pull.whole or bool(pull.replaced or pull.parts)


class Owed:
    """The edge's side: what it has applied and not said."""

    def __init__(self) -> None:
        self._count = 0
        self._since_ms = 0
        self._may_wait = False

    @property
    def is_any(self) -> bool:
        """Whether there is something to say."""
        return self._count > 0

    @property
    def due_ms(self) -> int | None:
        """When it is to be said at the latest; None: there is nothing."""
        return self._since_ms + VISIBLE_DELAY_MS if self._count else None

    def applied(self, now_ms: int, *, may_wait: bool) -> bool:
        """One more pull is applied; whether that is to be said at once."""
        if not self._count:
            self._since_ms = now_ms
        self._count += 1
        return not (may_wait and self._may_wait) or self._count >= OWED_PULLS_MAX

    def said(self) -> None:
        """All of it is said."""
        self._count = 0
        self._may_wait = True


class Unseen:
    """The hub's side: where the pulls lead that were sent and not seen, oldest first."""

    def __init__(self) -> None:
        self._small: list[Cursor] = []
        self._large: Cursor | None = None

    @property
    def is_any(self) -> bool:
        """Whether something is to be seen."""
        return self.is_large or bool(self._small)

    @property
    def is_large(self) -> bool:
        """Whether the last is one behind which nothing is sent."""
        return self._large is not None

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent now."""
        return self.is_large or len(self._small) >= UNSEEN_PULLS_MAX

    @property
    def last(self) -> Cursor | None:
        """Where the last one leads; None: everything was seen."""
        return self._small[-1] if self._small else None

    def sent(self, upto: Cursor) -> None:
        """A small pull leads there."""
        self._small.append(upto)

    def sent_large(self, upto: Cursor = START) -> None:
        """A large one does; START: wherever it leads, the next acknowledgement is of it."""
        self._large = upto

    def withdrawn(self) -> None:
        """The large one will not come to its end."""
        self._large = None

    def seen(self, cursor: Cursor) -> None:
        """The replica is there."""
        self._small = [upto for upto in self._small if upto > cursor]
        if self._large is not None and cursor >= self._large:
            self._large = None
