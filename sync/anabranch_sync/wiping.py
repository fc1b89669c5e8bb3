"""An order of the hub's operator: everything of an edge leaves its disk.

::

    edge                                             hub
     Hello                                      ->
               <-  Welcome   `wipe`: as soon as nothing of its own is unsent; nothing is pulled any more
     Batch Chunk* (own changes)                 ->
               <-  Control   WIPE, in place of the Welcome: at once
     Control   WIPED, when it is done           ->

An edge of an earlier release takes the one for nothing and the other for a refusal, and keeps what it has.
"""

from enum import IntEnum

WIPE, WIPED = "wipe", "wiped"


class WipeOrder(IntEnum):
    """What an edge is to do with what it has."""

    KEEP = 0
    WHEN_SENT = 1
    AT_ONCE = 2
