"""Nothing that decodes bytes from outside is left out of the fuzzing."""

import importlib
import inspect
import pkgutil
import re
import sys
from types import CodeType, FrameType

import anabranch_protos.invitation
import anabranch_sync

from tests.fuzz.targets import targets

DECODES = re.compile(r"(decode|unpack|unpacked|parse|read|unseal|verify)(_\w+)?")
# What is given no bytes of strangers, each with the reason.
NOT_FROM_OUTSIDE = {
    "anabranch_sync.reference.parse_moment": "parse_reference and a check",
    "anabranch_sync.policy.parse_policy": "a part of a schema document, which is refused as a whole",
    "anabranch_sync.rules.parse_rules": "a part of a schema document, as above",
}


def test_every_decoder_is_reached_by_a_target_of_the_fuzzing() -> None:
    # given every function that by its name makes something of bytes or texts
    decoders = {
        function.__code__: f"{module}.{name}"
        for module in _modules()
        for name, function in inspect.getmembers(importlib.import_module(module), inspect.isfunction)
        if function.__module__ == module and DECODES.fullmatch(name)
    }
    assert len(decoders) > 20

    # when the targets decode their samples
    called: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.add(frame.f_code)

    every = targets()
    _forget()
    sys.setprofile(note)
    try:
        for target in every:
            for sample in target.samples:
                target.take(sample)
    finally:
        sys.setprofile(None)

    # then each was at work, but for those that have a reason
    missed = {name for code, name in decoders.items() if code not in called}
    assert sorted(missed - NOT_FROM_OUTSIDE.keys()) == []


def _forget() -> None:
    """What was decoded before is decoded again."""
    for module in _modules():
        for remembering in vars(importlib.import_module(module)).values():
            if hasattr(remembering, "cache_clear"):
                remembering.cache_clear()


def _modules() -> list[str]:
    below = [f"anabranch_sync.{each.name}" for each in pkgutil.iter_modules(anabranch_sync.__path__)]
    return [*below, anabranch_protos.invitation.__name__]
