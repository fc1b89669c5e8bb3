"""`import`: many documents, all of them or none that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

from tests.running_hub import RunningHub


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
    documents = {f"acme/bulk/m{n}": {str(m): "x" * 100 for m in range(500)} for n in range(30)}

    imported = hub.json("import", tenant, "-", stdin=json.dumps(documents))

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
