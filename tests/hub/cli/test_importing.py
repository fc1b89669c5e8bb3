"""`import`: many documents, all of them or none that is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from anabranch_hub.errors import StoreUnavailable
from anabranch_hub.store import Store, Written

from tests.running_hub import RunningHub

BULK = {f"acme/bulk/m{n}": {str(m): "x" * 100 for m in range(500)} for n in range(30)}


def test_an_object_of_documents_is_imported_and_importing_it_again_changes_nothing(
    hub: RunningHub, tenant: str
) -> None:
    # given
    documents = {f"acme/prod/models/m{n}": {"price": n} for n in range(300)}

    # when
    first = hub.json("import", tenant, "-", "-m", "catalogue", stdin=json.dumps(documents))
    second = hub.json("import", tenant, "-", stdin=json.dumps(documents))

    # then
    assert first["documents"] == 300
    assert second["hub_seq"] == first["hub_seq"]
    assert len(hub.json("list", tenant)) == 300
    assert hub.json("get", tenant, "acme/prod/models", "--key", "m7")["value"] == {"price": 7}


def test_a_tree_of_files_is_imported_without_what_is_hidden(
    hub: RunningHub, tenant: str, tmp_path: Path
) -> None:
    # given
    for name, content in (("acme/prod/config.json", '{"a": 1}'), (".git/x.json", "{}"), ("README.md", "")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    # when
    hub.ok("import", tenant, str(tmp_path))

    # then
    assert hub.ok("list", tenant) == "acme/prod/config\n"


def test_one_wrong_document_keeps_all_out_and_is_named(hub: RunningHub, tenant: str, tmp_path: Path) -> None:
    # given
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme/good.json").write_text("{}")
    (tmp_path / "acme/wrong.json").write_text('{"a": 1, "a": 2}')

    # when
    ran = hub.run("import", tenant, str(tmp_path))

    # then
    assert ran.code == 2
    assert f"{tmp_path / 'acme/wrong.json'}: value at /a is refused: duplicate key" in ran.err
    assert hub.ok("list", tenant) == ""


def test_more_than_a_change_can_carry_is_imported_in_several(hub: RunningHub, tenant: str) -> None:
    imported = hub.json("import", tenant, "-", stdin=json.dumps(BULK))

    assert imported["batches"] > 1
    assert len(hub.json("list", tenant)) == 30


def test_what_is_no_object_of_documents_is_refused(hub: RunningHub, tenant: str, tmp_path: Path) -> None:
    for source, stdin, said in (
        ("-", "[]", 'not an object {"namespace/key": {...}}'),
        ("-", '{"config": {}}', "address 'config' is refused"),
        ("-", '{"acme/config": 1}', "a document is a JSON object"),
        (str(tmp_path), "", "no NAMESPACE/KEY.json below it"),
        (str(tmp_path / "nowhere"), "", "No such file"),
    ):
        ran = hub.run("import", tenant, source, stdin=stdin)
        assert ran.code == 2
        assert said in ran.err


def test_an_import_of_several_changes_with_one_invalid_document_writes_none(
    hub: RunningHub, tenant: str
) -> None:
    # given
    schema = {"namespaces": ["acme/zone/*"], "schema": {"properties": {"max": {"maximum": 600}}}}
    hub.ok("set", tenant, "system/schemas", "", json.dumps(schema), "--key", "zone")
    documents: dict[str, object] = {f"acme/zone/d{n}/config": {"text": "x" * 4_000} for n in range(200)}
    documents["acme/zone/last/config"] = {"max": 601}
    # when
    ran = hub.run("import", tenant, "-", stdin=json.dumps(documents))
    # then
    assert ran.code == 5
    assert "acme/zone/last/config" in ran.err
    assert hub.ok("list", tenant, "acme") == ""


async def _ctrl_c() -> Written:
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.Event().wait()
    raise AssertionError("interrupted while it waited")


async def _no_postgres() -> Written:
    raise StoreUnavailable("server closed the connection")


@pytest.mark.parametrize(("broken_by", "code"), [(_ctrl_c, 130), (_no_postgres, 7)])
def test_an_import_that_ends_between_its_changes_says_how_much_is_written(
    hub: RunningHub,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    broken_by: Callable[[], Awaitable[Written]],
    code: int,
) -> None:
    # given
    write, calls = Store.write, []

    async def once(self: Store, *args: Any, **kwargs: Any) -> Written:
        calls.append(args)
        return await (write(self, *args, **kwargs) if len(calls) == 1 else broken_by())

    monkeypatch.setattr(Store, "write", once)
    # when
    ran = hub.run("import", tenant, "-", stdin=json.dumps(BULK))
    # then
    written = len(hub.json("list", tenant))
    assert 0 < written < len(BULK)
    assert ran.code == code
    assert f"before that {written} of 30 documents were written, up to position 1" in ran.err
    assert "import all of them again" in ran.err


def test_a_pipe_among_the_files_of_a_tree_is_refused_and_not_waited_for(
    hub: RunningHub, tenant: str, tmp_path: Path
) -> None:
    # given
    (tmp_path / "acme").mkdir()
    os.mkfifo(tmp_path / "acme/config.json")
    # when
    ran = hub.run("import", tenant, str(tmp_path))
    # then
    assert ran.code == 2
    assert f"{tmp_path / 'acme/config.json'}: it is not a file" in ran.err


def test_a_name_that_is_too_long_for_a_file_is_unusable_input(hub: RunningHub, tenant: str) -> None:
    ran = hub.run("import", tenant, "a" * 5_000)

    assert ran.code == 2
    assert "File name too long" in ran.err
