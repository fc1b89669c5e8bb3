"""Raw pycrdt over TCP: one Y.Doc for all documents, SQLite on both sides, nothing else. Verbs: driver.mjs.

::

    frame = length u32 | kind u8 | body      kinds: 0 state vector, 1 update, +2 deflated (from 100 bytes on)

Whoever connects sends its state vector; each side answers one with what the other lacks; then updates follow.
"""

import asyncio
import json
import os
import sqlite3
import struct
import sys
import zlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycrdt import Doc, Map, TransactionEvent

VECTOR, UPDATE, DEFLATED = 0, 1, 2
DEFLATED_FROM_BYTES = 100
LOOK_S = 0.001


class Side:
    """A Y.Doc, its file, and everyone it is connected to."""

    def __init__(self, folder: Path) -> None:
        self.database = sqlite3.connect(folder / "doc.db", isolation_level=None)
        self.database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
        self.database.execute("CREATE TABLE IF NOT EXISTS updates (body BLOB)")
        self.doc: Doc[Any] = Doc()
        self.root = self.doc.get("content", type=Map)
        self.links: set[StreamWriter] = set()
        self._from: StreamWriter | None = None
        self._held = self.doc.observe(self._changed)

    def _changed(self, event: TransactionEvent) -> None:
        self.database.execute("INSERT INTO updates VALUES (?)", (event.update,))
        for link in self.links:
            if link is not self._from:
                send(link, UPDATE, event.update)

    async def talk(self, reader: StreamReader, writer: StreamWriter, *, opening: bool) -> None:
        """Until the other side goes."""
        self.links.add(writer)
        if opening:
            send(writer, VECTOR, self.doc.get_state())
        try:
            while True:
                kind, body = await received(reader)
                if kind == VECTOR:
                    send(writer, UPDATE, self.doc.get_update(body))
                    if not opening:
                        send(writer, VECTOR, self.doc.get_state())
                else:
                    self._from = writer
                    self.doc.apply_update(body)
                    self._from = None
        except (asyncio.IncompleteReadError, OSError):
            self.links.discard(writer)
            writer.close()


def send(writer: StreamWriter, kind: int, body: bytes) -> None:
    if len(body) >= DEFLATED_FROM_BYTES:
        kind, body = kind | DEFLATED, zlib.compress(body, 9)
    writer.write(struct.pack(">IB", len(body), kind) + body)


async def received(reader: StreamReader) -> tuple[int, bytes]:
    length, kind = struct.unpack(">IB", await reader.readexactly(5))
    body = await reader.readexactly(length)
    return kind & ~DEFLATED, zlib.decompress(body) if kind & DEFLATED else body


class Edge:
    """The verbs of driver.mjs."""

    def __init__(self, side: Side, hub: str, names: list[str]) -> None:
        self._names = names
        self._side = side
        self._host, _, self._port = hub.rpartition(":")
        self._task: asyncio.Task[None] | None = None

    async def do(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Answer one command."""
        root = self._side.root
        match asked["do"]:
            case "load":
                with self._side.doc.transaction():
                    for name, content in read(asked["file"]).items():
                        root[name] = as_map(content)
            case "connect":
                streams = await asyncio.open_connection(self._host, int(self._port))
                self._task = asyncio.create_task(self._side.talk(*streams, opening=True))
            case "disconnect":
                for link in list(self._side.links):
                    link.close()
                if self._task is not None:
                    await self._task
            case "edit":
                for row in read(asked["file"]):
                    *parents, last = row["path"]
                    self._at(row["document"], parents)[last] = row["value"]
            case "until":
                last_rows = {(row["document"], *row["path"]): row for row in read(asked["file"])}
                for row in last_rows.values():
                    while self._value(row) != row["value"]:
                        await asyncio.sleep(LOOK_S)
            case "until_documents":
                for name, content in read(asked["file"]).items():
                    while name not in root or root[name].to_py() != content:
                        await asyncio.sleep(LOOK_S)
            case "until_held":
                for name in self._names:
                    while name not in root:
                        await asyncio.sleep(LOOK_S)
            case "fields":
                rows = [row for file in asked["files"] for row in read(file)]
                return {"values": [self._value(row) for row in rows], "others": [[] for _ in rows]}
        return {}

    def _value(self, row: Mapping[str, Any]) -> object:
        *parents, last = row["path"]
        return self._at(row["document"], parents)[last]

    def _at(self, name: str, path: list[str]) -> Any:
        found: Any = self._side.root[name]
        for each in path:
            found = found[each]
        return found


def as_map(value: object) -> object:
    """Objects become maps; lists stay values."""
    return Map({name: as_map(inner) for name, inner in value.items()}) if isinstance(value, dict) else value


async def hub(folder: Path) -> None:
    side = Side(folder)
    server = await asyncio.start_server(lambda *streams: side.talk(*streams, opening=False), "127.0.0.1", 0)
    say({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


async def edge(folder: Path, address: str, names: Path) -> None:
    driven = Edge(Side(folder), address, read(names))
    say({"pids": [os.getpid()]})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        say(await driven.do(json.loads(line)))


def read(file: str | Path) -> Any:
    return json.loads(Path(file).read_text())


def say(answer: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    role, place, *rest = sys.argv[1:]
    asyncio.run(hub(Path(place)) if role == "hub" else edge(Path(place), rest[0], Path(rest[1])))
