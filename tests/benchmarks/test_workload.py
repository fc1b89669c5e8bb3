"""The workload is the same everywhere, of the size that the targets name, and its edits change something."""

import json
import lzma
from pathlib import Path

from anabranch_sync.value import Json

from benchmarks import edits
from benchmarks.workload import documents


def leaves(value: Json) -> int:
    match value:
        case dict():
            return sum(map(leaves, value.values()))
        case list():
            return sum(map(leaves, value))
        case _:
            return 1


def test_a_thousand_documents_weigh_what_the_targets_say() -> None:
    # given
    made = list(documents("acme", 1_000))
    texts = [json.dumps(each.content, separators=(",", ":")) for each in made]

    # then
    assert len({(each.namespace, each.key) for each in made}) == 1_000
    assert 2_050_000 < sum(map(len, texts)) < 2_250_000
    assert 44_000 < sum(leaves(each.content) for each in made) < 46_000
    assert 500 < min(map(len, texts)) <= max(map(len, texts)) < 8_192
    assert 352_000 < len(lzma.compress("\n".join(texts).encode(), preset=9)) < 405_000


def test_more_documents_begin_with_the_same_ones() -> None:
    assert list(documents("acme", 30))[:12] == list(documents("acme", 12))


def test_every_edit_gives_a_field_another_value_of_its_kind() -> None:
    # given documents, and what their fields hold
    made = list(documents("acme", 20))
    held = {
        (each.namespace, each.key, *path): value
        for each in made
        for path, value in edits.fields(each.content)
    }

    # when they are edited
    written = list(edits.spread(made, 200, seed=1))

    # then
    for each in written:
        place = (each.namespace, each.key, *each.path)
        assert type(each.value) is type(held[place])
        assert each.value != held[place]
        held[place] = each.value
    assert written == list(edits.spread(made, 200, seed=1))
    assert written != list(edits.spread(made, 200, seed=2))


def test_overwrites_go_round_the_documents() -> None:
    # when
    written = list(edits.overwrites(list(documents("acme", 3)), 6, 2))

    # then
    assert len({(each.key, each.path) for each in written}) == 2
    assert [each.value for each in written] == list(range(1_000, 1_006))


def test_edits_are_read_as_they_were_written(tmp_path: Path) -> None:
    # given
    pending = list(edits.spread(list(documents("acme", 5)), 30, seed=0))

    # then
    assert edits.read(edits.write(tmp_path / "edits.json", pending)) == pending
