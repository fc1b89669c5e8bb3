"""Disks as they are: what is written is lost with the power until an fsync succeeds, and either may fail.

A store's transaction is written and synced, and counts from then on. A *medium* says how the next one goes.
After an error of an fsync nobody knows whether the bytes are there, so both happen ("fsyncgate", 2018).
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Harm:
    """How often a transaction meets which failure."""

    power: float = 0.0  # the power is cut between its first write and the answer
    error: float = 0.0  # EIO, of a write or of an fsync
    full: float = 0.0  # ENOSPC once; a medium can also be full for a time


UNHARMED = Harm()


class DiskFailure(Exception):
    """A transaction failed. `reached`: it is on the disk all the same, whatever its author was told."""

    def __init__(self, what: str, *, reached: bool, power: bool = False) -> None:
        super().__init__(what)
        self.reached = reached
        self.power = power


class Medium:
    """What a store is kept on. Without `harm` it never fails."""

    def __init__(
        self, chance: random.Random, harm: Callable[[], Harm], happened: Counter[str], whose: str = ""
    ) -> None:
        self.is_full = False
        self._chance = chance
        self._harm = harm
        self._happened = happened
        self._whose = whose

    def failure(self) -> DiskFailure | None:
        """How the next transaction fails, if it does."""
        harm, chance = self._harm(), self._chance
        if self.is_full or (harm.full and chance.random() < harm.full):
            return self._failed("disk full", reached=False)
        if harm.error and chance.random() < harm.error:
            if chance.random() < 0.5:
                return self._failed("write error", reached=False)
            return self._failed("fsync error", reached=chance.random() < 0.5)
        if harm.power and chance.random() < harm.power:
            return self._failed("power cut in a transaction", reached=chance.random() < 0.5, power=True)
        return None

    def _failed(self, what: str, *, reached: bool, power: bool = False) -> DiskFailure:
        self._happened[f"{self._whose}{what}"] += 1
        return DiskFailure(what, reached=reached, power=power)


SOUND = Medium(random.Random(0), lambda: UNHARMED, Counter())
