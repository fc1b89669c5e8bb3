"""How long a person who asked for one exchange is left waiting, and what they are told then."""

import time

# A person who asks for one exchange hears within this, or after so many refusals, that there is no
# connection (four attempts take two seconds where they fail at once),
CONNECT_S_MAX = 15.0
CONNECT_ATTEMPTS_MAX = 4
# and within this that there is one which brings nothing forward: a chunk takes 30 s on a 2.4 kbit/s link.
STANDSTILL_S_MAX = 60.0


class Patience:
    """Begins when it is made, and anew whenever something comes forward."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._advanced_s: float | None = None
        self._refusals = 0

    def connected(self) -> None:
        """There is a connection. The first alone counts: a hub may take every one, and break it."""
        if self._advanced_s is None:
            self._advanced_s = time.monotonic()

    def advanced(self) -> None:
        """Something durable came forward."""
        self._advanced_s = time.monotonic()

    def refused(self) -> bool:
        """An attempt came to nothing: whether it was the last."""
        self._refusals += 1
        is_alone = self._advanced_s is None and self._refusals >= CONNECT_ATTEMPTS_MAX
        return is_alone or not self.left_ms

    @property
    def left_ms(self) -> int:
        """How long a person may be left waiting from now on."""
        if self._advanced_s is None:
            end_s = self._began_s + CONNECT_S_MAX
        else:
            end_s = self._advanced_s + STANDSTILL_S_MAX
        return max(0, int((end_s - time.monotonic()) * 1000))

    @property
    def reason(self) -> str:
        """What a person is told whose patience is over."""
        if self._advanced_s is None:
            return f"no connection within {CONNECT_S_MAX:.0f} s"
        return f"nothing came forward for {STANDSTILL_S_MAX:.0f} s"
