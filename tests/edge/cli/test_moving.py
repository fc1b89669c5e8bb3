import errno
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from anabranch.cli import moving
from anabranch_cli.documents import BATCH_BYTES, batches
from anabranch_sync.document import Object
from anabranch_sync.ids import document_id

from tests.edge.cli.conftest import Anabranch

DOCUMENTS = {
    "acme/lab/sensors/config": {"rate": 1.0, "unit": "Hz"},
    "acme/prod/router/config": {"limits": {"requests": 600}, "note": "é\x1b"},
    "acme/prod/router/night": {},
}


def test_what_is_exported_can_be_imported(anabranch: Anabranch, tmp_path: Path) -> None:
    # given
    first = anabranch("import", "-", stdin=json.dumps(DOCUMENTS))

    # when
    exported = anabranch("export")
    file = tmp_path / "all.json"
    file.write_text(exported.out)
    again = anabranch("import", str(file), "--json")

    # then
    assert first.out == "ok 3 documents, 3 changed, in 1 change: 1:1\n"
    assert exported.json == DOCUMENTS
    assert again.json == {"documents": 3, "changed": 0, "dots": []}


def test_an_export_that_finds_no_room_names_the_file(tmp_path: Path) -> None:
    # given
    tree = tmp_path / "tree"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    # when
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as failed:
            moving._replace_file(tree / "config.json", "t" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    # then
    assert failed.value.filename == str(tree / "config.json")
    assert list(tree.iterdir()) == []


def test_nothing_is_imported_of_a_directory_that_can_be_read_in_part_alone(
    anabranch: Anabranch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    tree = tmp_path / "tree"
    closed = tree / "acme/prod/closed"
    for name in ("acme/prod/open", "acme/prod/closed"):
        (tree / name).mkdir(parents=True)
        (tree / name / "config.json").write_text("{}")
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if path == str(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    # when
    monkeypatch.setattr(os, "scandir", refusing)
    ran = anabranch("import", str(tree))

    # then
    assert (ran.code, ran.err) == (2, f"anabranch: cannot use {closed}: Permission denied\n")
    assert anabranch("list").out == ""


def test_a_directory_is_exported_and_imported_alike(anabranch: Anabranch, tmp_path: Path) -> None:
    # given
    anabranch("import", "-", stdin=json.dumps(DOCUMENTS))
    tree = tmp_path / "tree"

    # when
    written = anabranch("export", "acme/prod", "--to", str(tree))
    files = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
    (tree / "acme/prod/router/night.json").write_text('{"on": true}')
    (tree / "README.md").write_text("not a document")
    (tree / ".git").mkdir()
    (tree / ".git/config.json").write_text("{")
    imported = anabranch("import", str(tree), "-m", "from the tree")

    # then
    assert written.out == f"2 documents written to {tree}\n"
    assert files == ["acme/prod/router/config.json", "acme/prod/router/night.json"]
    assert imported.out == "ok 2 documents, 1 changed, in 1 change: 1:2\n"
    assert anabranch("get", "acme/prod/router", "/on", "--key", "night").json is True


def test_an_export_of_a_prefix_has_only_what_is_below_it(anabranch: Anabranch) -> None:
    anabranch("import", "-", stdin=json.dumps(DOCUMENTS))
    assert list(anabranch("export", "acme/lab").json) == ["acme/lab/sensors/config"]
    assert anabranch("export", "acme/none").json == {}


@pytest.mark.parametrize(
    ("bad", "code", "reason"),
    [
        ('{"acme/lab/a/config": {"x": 1}, "acme/lab/a/config": {}}', 2, "duplicate key"),
        ('{"acme/lab/a/config": {"x": NaN}}', 2, "not a finite number"),
        ('{"acme/lab/a/config": {"x": 18446744073709551616}}', 2, "beyond 64 bits"),
        ('{"acme/lab/a/config": 5}', 2, "a document is a JSON object"),
        ('{"acme/lab/a/config": {"x": "' + "y" * 262_144 + '"}}', 2, "limit 262144"),
        ('{"acme/lab/../config": {}}', 2, "namespace 'acme/lab/..' is refused"),
        ('{"config": {}}', 2, "it needs a namespace and a key"),
        ('{"acme/lab/a/b\\u0000": {}}', 2, "key 'b\\x00' is refused"),
        ("[]", 2, "standard input: it is not an object"),
        ("", 2, "not JSON"),
        ('{"other/prod/a/config": {"x": 1}}', 4, "outside what this edge may write"),
        ('{"global/a/config": {"x": 1}}', 4, "outside what this edge may write"),
    ],
)
def test_one_bad_document_and_nothing_is_imported(
    anabranch: Anabranch, bad: str, code: int, reason: str
) -> None:
    # given documents before and after it that are good, and enough of them for several changes
    good = (
        {f"acme/lab/{n}/config": {"text": "t" * 100_000} for n in (*range(5), "z")} if bad[1:2] == '"' else {}
    )
    text = f"{json.dumps(good)[:-1]}, {bad[1:]}" if good else bad

    # when
    ran = anabranch("import", "-", stdin=text)

    # then
    assert (ran.code, ran.out) == (code, "")
    assert reason in ran.err
    assert ran.err.count("\n") == 1
    assert anabranch("list").out == ""


def test_a_bad_file_in_a_directory_is_named_and_nothing_is_imported(
    anabranch: Anabranch, tmp_path: Path
) -> None:
    # given
    folder = tmp_path / "tree/acme/lab/a"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "night.json").write_text('{"a": 1,}')

    # when
    ran = anabranch("import", str(tmp_path / "tree"))

    # then
    assert ran.code == 2
    assert str(folder / "night.json") in ran.err
    assert anabranch("list").out == ""


def test_an_empty_directory_is_refused(anabranch: Anabranch, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    assert anabranch("import", str(tmp_path / "tree")).code == 2


def test_a_large_import_is_several_changes_and_loses_nothing(anabranch: Anabranch) -> None:
    # given
    many = {f"acme/lab/{n}/config": {"text": f"{n}-" + "t" * 2_000} for n in range(400)}
    # Long keys above many leaves: as a change this takes six times the room of the document.
    deep = {"acme/lab/deep/config": {"k" * 100: {f"{n}": n for n in range(8_000)}}}

    # when
    told = anabranch("import", "-", "--json", stdin=json.dumps(many | deep)).json

    # then
    assert told["documents"] == told["changed"] == 401
    assert len(told["dots"]) > 1
    assert anabranch("export").json == many | deep


def test_batches_keep_order_and_hold_what_fits() -> None:
    # given
    content: Object = {"text": "t" * (BATCH_BYTES // 3)}
    documents = [(document_id(f"acme/{n}"), content) for n in range(5)]

    # then
    assert [len(batch) for batch in batches(documents)] == [2, 2, 1]
    assert [document for batch in batches(documents) for document in batch] == documents
    assert batches([]) == []
