"""What the launcher carries: the files of a folder in one zstd frame, and payload.h that names them.

    python build/payload.py FOLDER VERSION PROGRAM INTO

writes INTO/payload.zst and INTO/payload.h; PROGRAM is the file of FOLDER that the launcher becomes. The order
of the files, the frame and the names depend on the content alone: the same content makes the same bytes.
It is a script of its own as zstandard is among the tools of the build.
"""

import hashlib
import re
import sys
from pathlib import Path

import zstandard

# The furthest that zstd looks back: the whole content, for the launcher unpacks into one piece of memory.
WINDOW_LOG = 27
# Level 22 takes four times as long for a hundredth less.
LEVEL = 19

# x86 calls and jumps (E8, E9), and 64-bit loads from the same file: an opcode and 4 bytes of address.
_RELATIVE = re.compile(
    rb"(?:[\xe8\xe9]|[\x48\x4c][\x8b\x8d][\x05\x0d\x15\x1d\x25\x2d\x35\x3d])(....)", re.DOTALL
)


def main() -> int:
    folder, version, program, into = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    contents = [path.read_bytes() for path in files]
    rows = [f'{{"{path.relative_to(folder)}", {path.stat().st_size}, 0{_mode(path):o}}}' for path in files]
    content = b"".join(contents)
    # The name of the folder in the cache: other content never meets it there.
    digest = hashlib.sha256("\n".join(rows).encode() + content).hexdigest()[:16]
    settings = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(content), window_log=WINDOW_LOG, write_checksum=1
    )
    frame = into / "payload.zst"
    frame.write_bytes(zstandard.ZstdCompressor(compression_params=settings).compress(addressed(content)))
    (into / "payload.h").write_text(
        f'#define NAME "{version}-{digest}"\n#define PROGRAM "{program}"\n#define PAYLOAD "{frame}"\n'
        f"#define CONTENT_BYTES ((size_t){len(content)})\n"
        "static const struct { const char *path; size_t bytes; mode_t mode; } FILES[] = {\n    "
        + ",\n    ".join(rows)
        + "\n};\n"
    )
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
