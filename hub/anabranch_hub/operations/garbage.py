"""Python looks for cycles among its objects each time there are so many more of them.

What a hub makes of a push are some 50 objects a change, none of which is in a cycle, so that all go by
themselves: looking among them every 700 took an eighth of the time that deciding takes.
"""

import gc

# A few MB of what is in cycles, as a failed call with its traceback, may wait until so many objects are new.
NEW_OBJECTS_MAX = 50_000


def look_rarely() -> None:
    """Look for cycles only among many objects, and never again among those that the start has made."""
    gc.set_threshold(NEW_OBJECTS_MAX)
    gc.freeze()
