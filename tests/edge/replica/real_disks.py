"""File systems of a test's own, where the machine lets root mount them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system mounted at `folder`, made if need be; the test is skipped with a reason elsewhere."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder.mkdir(exist_ok=True)
    done = _ran("mount", *options, str(folder))
    if done.returncode:
        pytest.skip(f"this machine does not mount: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        _ran("umount", "-l", str(folder))


@contextmanager
def ext4(image: Path, folder: Path) -> Iterator[Path]:
    """An ext4 of 16 MiB in the file `image`, mounted at `folder`."""
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(16 * 1024 * 1024)
        try:
            made = _ran("mkfs.ext4", "-q", "-F", str(image))
        except FileNotFoundError:
            pytest.skip("this machine has no mkfs.ext4")
        assert made.returncode == 0, made.stderr.decode()
    with mounted(folder, "-o", "loop", str(image)) as there:
        yield there


def remounted(folder: Path, how: str) -> bool:
    """Whether `folder` is now mounted so."""
    return _ran("mount", "-o", f"remount,{how}", str(folder)).returncode == 0


def _ran(*command: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(command, capture_output=True, check=False)
