"""Courier files on a disk or a stick."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from anabranch_sync.errors import ParcelError
from anabranch_sync.parcel import PARCEL_BYTES_MAX

from anabranch.identity import write_private


def file_names(target: Path, count: int) -> tuple[Path, ...]:
    """`target` itself for one file, else target.001 and so on."""
    if count == 1:
        return (target,)
    return tuple(target.with_name(f"{target.name}.{number:03}") for number in range(1, count + 1))


def write_parcels(files: Sequence[Path], parcels: Sequence[bytes]) -> None:
    """Write each whole, for its owner only. Raises OSError.

    A device or a pipe, as /dev/stdout, is written to: a file in its place would break it for everybody.
    """
    for file, parcel in zip(files, parcels, strict=True):
        if file.exists() and not file.is_file():
            file.write_bytes(parcel)
        else:
            write_private(file.resolve(), parcel)  # a link, as /dev/stdout into a file, stays a link


def read_parcel(file: Path) -> bytes:
    """The file, or one byte more than a parcel may have. Raises OSError."""
    with file.open("rb") as stream:
        return stream.read(PARCEL_BYTES_MAX + 1)


@contextlib.contextmanager
def naming(file: Path) -> Iterator[None]:
    """Let a refusal in the block name the file."""
    try:
        yield
    except ParcelError as error:
        raise error.of(str(file)) from error
