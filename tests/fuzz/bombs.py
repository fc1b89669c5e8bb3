"""The bombs of the fault catalogue: small inputs that ask for all the memory or all the time there is.

Each is given to its decoder in a child under bounds of memory and CPU time: ``python -m tests.fuzz.bombs``
prints what became of each. Small ones that merely must be refused are in the tests of their decoder.
"""

import json
import resource
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import zstandard
from anabranch.errors import PatchFailed
from anabranch.patching import check_patch
from anabranch_sync.errors import InvalidInput, WireError
from anabranch_sync.ids import document_id
from anabranch_sync.leaf_decoder import decode_update
from anabranch_sync.packing import unpack, unseal, varint
from anabranch_sync.path import parse_pointer
from anabranch_sync.scope import SCOPE_PREFIXES_MAX, Scope, scope, told_scope
from anabranch_sync.value import parse_json

# What promises allow any bytes to take, beyond what the interpreter has before it meets them.
MEMORY_BYTES_MAX = 64 * 1024 * 1024
# A thousand times what a frame may take, which is no bound on speed but on life.
CPU_S_MAX = 50
REFUSALS = (InvalidInput, WireError, PatchFailed)
CLIENT = 7


def bombs() -> dict[str, Callable[[], object]]:
    """Each bomb by its row of the catalogue, lit when it is called."""
    zeros = zstandard.ZstdCompressor().compress(bytes(256_000_000))[4:]
    lying = _magicless(bytes(100_000_000))
    wide = zstandard.ZstdCompressionParameters(window_log=27, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    window = zstandard.ZstdCompressor(compression_params=wide).compressobj().compress(b"a") + b""
    deflated = zlib.compress(bytes(100_000_000), wbits=-15)
    many = _update(b"".join(b"\x04" + varint(0) + b"\x01t\x01a" for _ in range(50_000)), 50_000)
    return {
        "D1 zstd: 8 KB that say they are 256 MB": lambda: unseal(b"\x01" + varint(256_000_000) + zeros),
        "D1 zstd: 100 MB that say they are 10 bytes": lambda: unseal(b"\x01" + varint(10) + lying),
        "D1 zstd: frames behind one another": lambda: unseal(b"\x01" + varint(20) + lying + lying),
        "D1 zstd: a window of 2^27": lambda: unseal(b"\x01" + varint(1) + window),
        "D1 deflate: 100 KB that are 100 MB": lambda: unseal(b"\x03" + deflated),
        "D2 msgpack: 1,100 levels": lambda: unpack(b"\x91" * 1_100 + b"\x01"),
        "D2 msgpack: a million levels": lambda: unpack(b"\x91" * 1_000_000 + b"\x01"),
        "D3 msgpack: a list of 2^32-1": lambda: unpack(b"\xdd\xff\xff\xff\xff"),
        "D3 msgpack: bytes of 2^32-1": lambda: unpack(b"\xc6\xff\xff\xff\xff"),
        "D3 msgpack: a timestamp out of range": lambda: unpack(b"\xc7\x0c\xff" + b"\xff" * 12),
        "D4 update: 2^40 clients": lambda: decode_update(CLIENT, varint(2**40)),
        "D4 update: 2^62 structs": lambda: decode_update(CLIENT, b"\x01" + varint(2**62)),
        "D4 update: a number that never ends": lambda: decode_update(CLIENT, b"\xff" * 100_000),
        "D5 update: nested values": lambda: decode_update(CLIENT, _update(b"\x08" + b"\x75\x01" * 50_000, 1)),
        "D7 update: 50,000 blocks": lambda: decode_update(CLIENT, many),
        "D15 JSON: 100,000 levels": lambda: parse_json("[" * 100_000),
        "D15 JSON: a million digits": lambda: parse_json("1" * 1_000_000),
        "D15 JSON: 1e400": lambda: parse_json("1e400"),
        "D15 JSON: 2^64": lambda: parse_json(str(2**64)),
        "D15 JSON: UTF-16": lambda: parse_json("{}".encode("utf-16")),
        "D17 pointer: 10,000 levels": lambda: parse_pointer("/a" * 10_000),
        "D18 JSON Patch: a million operations": lambda: check_patch(
            document_id("acme/prod/router"), [{"op": "remove", "path": "/a"}] * 1_000_000
        ),
        "D20 namespace: 10 KB": lambda: document_id("a" * 10_000),
        "D20 scope: 100,000 prefixes": lambda: told_scope(tuple(f"a/{each}" for each in range(100_000))),
        "D20 scope: a million segments": lambda: told_scope(("a/" * 1_000_000,)),
        "D20 scope: 64 prefixes that meet 64 others": lambda: _scope("*/*/n{}").narrowed(_scope("m{}/*")),
    }


def main() -> int:
    """Light all of them; the outcomes as JSON."""
    lit = bombs()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES_MAX, used + MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
    sys.stdout.write(json.dumps({name: _outcome(light) for name, light in lit.items()}))
    return 0


def _outcome(light: Callable[[], object]) -> str:
    try:
        light()
    except REFUSALS:
        return "refused"
    except BaseException as error:  # noqa: BLE001  (which one it was is the finding)
        return f"{type(error).__name__}: {error}"[:200]
    return "accepted"


def _scope(prefix: str) -> Scope:
    return scope(tuple(prefix.format(each) for each in range(SCOPE_PREFIXES_MAX)))


def _magicless(body: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(
        format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(body)


def _update(structs: bytes, count: int) -> bytes:
    return b"\x01" + varint(count) + varint(CLIENT) + b"\x00" + structs + b"\x00"


if __name__ == "__main__":
    sys.exit(main())
