"""What a large pull took goes back to the system."""

import platform
from pathlib import Path

import pytest
from anabranch.giving_back import give_back


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can")
def test_what_is_free_is_given_back() -> None:
    pieces = [bytes(8_000) for _ in range(4_000)]
    pins = pieces[::100]  # the last of them keeps the heap from getting shorter by itself
    last = pieces.pop()
    del pieces
    before = _resident_bytes()

    give_back()

    assert len(pins) == 40
    assert len(last) == 8_000
    assert _resident_bytes() < before
