"""What the launcher carries: the files of a folder in one piece of LZMA, and payload.h that names them."""

import hashlib
import lzma
import re
import zlib
from pathlib import Path

# unlzma.h has the last three in it. The window is the whole content, for the launcher unpacks into one piece
# of memory; 4 bits of the byte before say more of the next one than the usual 3.
LZMA = {
    "id": lzma.FILTER_LZMA1,
    "preset": 9 | lzma.PRESET_EXTREME,
    "dict_size": 1 << 27,
    "lc": 4,
    "lp": 0,
    "pb": 2,
}

# x86 calls and jumps (E8, E9), those through a table (FF), and 64-bit loads from the same file: an opcode and
# 4 bytes of address.
_RELATIVE = re.compile(
    rb"(?:[\xe8\xe9]|\xff[\x15\x25]|[\x48\x4c][\x8b\x8d][\x05\x0d\x15\x1d\x25\x2d\x35\x3d])(....)",
    re.DOTALL,
)


def pack(folder: Path, version: str, program: str, into: Path) -> None:
    """Write INTO/payload.lzma and INTO/payload.h; `program` is the file that the launcher becomes.

    The order of the files, the bytes and the names depend on the content alone.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [f'{{"{path.relative_to(folder)}", {path.stat().st_size}, 0{_mode(path):o}}}' for path in files]
    content = b"".join(path.read_bytes() for path in files)
    # The name of the folder in the cache: other content never meets it there.
    digest = hashlib.sha256("\n".join(rows).encode() + content).hexdigest()[:16]
    packed = into / "payload.lzma"
    packed.write_bytes(lzma.compress(addressed(content), lzma.FORMAT_RAW, filters=[LZMA]))
    (into / "payload.h").write_text(
        f'#define NAME "{version}-{digest}"\n#define PROGRAM "{program}"\n#define PAYLOAD "{packed}"\n'
        f"#define CONTENT_BYTES ((size_t){len(content)})\n#define CONTENT_CRC {zlib.crc32(content)}U\n"
        "static const struct { const char *path; size_t bytes; mode_t mode; } FILES[] = {\n    "
        + ",\n    ".join(rows)
        + "\n};\n"
    )


def addressed(content: bytes) -> bytes:
    """The same with relative addresses made absolute: calls of one function become equal bytes.

    Only those that reach less than 16 MB far, and each is stepped over whole, so that the launcher's
    `relative` meets the same places, which ends before the last 7 bytes. Machine code of other processors
    is hardly touched.
    """

    def absolute(found: re.Match[bytes]) -> bytes:
        if found[1][3] not in (0x00, 0xFF) or found.start() + 7 > len(content):
            return found[0]
        address = (int.from_bytes(found[1], "little") + found.end()) & 0x01FFFFFF
        if address & 0x01000000:
            address |= 0xFF000000
        return found[0][:-4] + address.to_bytes(4, "little")

    return _RELATIVE.sub(absolute, content)


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644
