import itertools
import json
import select
import signal

import pytest

from tests.edge.cli.conftest import PATIENCE_S, Anabranch


def test_get_prints_the_value_as_json_and_nothing_else(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/prod/router", "", '{"limits": {"requests": 600}, "model": "gpt-4o"}')

    # then
    for pointer, value in (
        ("", {"limits": {"requests": 600}, "model": "gpt-4o"}),
        ("/limits", {"requests": 600}),
        ("/limits/requests", 600),
        ("/model", "gpt-4o"),
    ):
        ran = anabranch("get", "acme/prod/router", pointer)
        assert (ran.json, ran.err) == (value, "")


def test_get_in_json_tells_version_source_age_and_state(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/prod/router", "/model", "gpt-4o")
    anabranch.synced()

    # when
    reading = anabranch("get", "acme/prod/router", "/model", "--json").json

    # then
    assert reading.pop("age_s") > 0
    assert reading == {
        "namespace": "acme/prod/router",
        "key": "config",
        "path": "/model",
        "value": "gpt-4o",
        "version": 1,
        "pending": True,
        "source": "local",
        "state": "STALE",
        "quarantined": False,
        "violations": [],
    }


def test_a_verbose_get_tells_the_same_beside_the_data(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/prod/router", "/model", "gpt-4o")

    # when
    ran = anabranch("get", "acme/prod/router", "-v")

    # then
    assert ran.json == {"model": "gpt-4o"}
    assert ran.err == (
        "version 1, from local, with changes the hub has not confirmed, age unknown, NEVER SYNCED\n"
    )


def test_a_raw_string_is_printed_without_quotes(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/prod/prompts", "/greeting", "--string", 'Say "hi"\n')

    # then
    assert anabranch("get", "acme/prod/prompts", "/greeting", "--raw").out == 'Say "hi"\n\n'
    assert anabranch("get", "acme/prod/prompts", "--raw").json == {"greeting": 'Say "hi"\n'}


def test_what_a_terminal_might_obey_never_reaches_it_and_the_value_stays_equal(anabranch: Anabranch) -> None:
    # given
    hostile = "\x1b]0;owned\x07\x9b2J\u202e"
    anabranch("set", "acme/prod/router", "/name", json.dumps(hostile))

    # when
    ran = anabranch("get", "acme/prod/router", "/name")

    # then
    assert ran.out.strip().isprintable()
    assert ran.json == hostile


@pytest.mark.parametrize("is_synced", [True, False])
def test_what_is_not_there_is_not_found_once_the_hub_was_heard(anabranch: Anabranch, is_synced: bool) -> None:
    # given
    if is_synced:
        anabranch.synced()

    # when
    ran = anabranch("get", "acme/prod/router")

    # then
    assert ran.code == (3 if is_synced else 7)
    assert ran.out == ""
    assert ran.err.startswith("anabranch: acme/prod/router/config ")
    assert ran.err.count("\n") == 1


def test_an_absent_path_is_named(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/prod/router", "/limits/requests", "1")

    # when
    error = anabranch("get", "acme/prod/router", "/limits/tokens", "--json").error

    # then
    assert error["exit_code"] == 3
    assert error["kind"] == "NotFound"
    assert error["facts"] == {"document": "acme/prod/router/config", "path": "/limits/tokens"}


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (["acme/prod/ruter"], "did you mean acme/prod/router?"),
        (["acme/prod/router/night"], "did you mean acme/prod/router --key night?"),
        (["acme/prod/router", "--key", "day"], "that namespace has night"),
    ],
)
def test_what_was_probably_meant_is_suggested(anabranch: Anabranch, asked: list[str], hint: str) -> None:
    # given
    anabranch("set", "acme/prod/router", "/a", "1", "--key", "night")

    # then
    assert anabranch("get", *asked).err.strip().endswith(hint)


def test_list_prints_one_address_on_a_line(anabranch: Anabranch) -> None:
    # given
    for namespace in ("acme/prod/b", "acme/prod/a", "acme/lab/a", "acme/prod/c"):
        anabranch("set", namespace, "/x", "1")

    # then
    assert anabranch("list", "acme/prod").out.split() == [
        "acme/prod/a/config",
        "acme/prod/b/config",
        "acme/prod/c/config",
    ]
    assert anabranch("list", "acme/lab/").out == "acme/lab/a/config\n"
    assert anabranch("list", "acme/nowhere").out == ""
    assert len(anabranch("list").out.split()) == 4


def test_list_tells_versions_and_pending_changes_when_asked(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/lab/a", "/x", "1")
    anabranch("set", "acme/lab/a", "/x", "2")

    # then
    assert anabranch("list", "-l").out.splitlines() == [
        "DOCUMENT           VERSION  PENDING",
        "acme/lab/a/config  2        2",
    ]
    assert anabranch("list", "--json").json == [
        {"namespace": "acme/lab/a", "key": "config", "version": 2, "pending": 2, "quarantined": False}
    ]


def test_log_tells_who_wrote_and_why(anabranch: Anabranch) -> None:
    # given
    anabranch("set", "acme/lab/a", "/x", "1", "-m", "first")
    anabranch("--author", "Grace", "set", "acme/lab/a", "/x", "2", "-m", "second")

    # when
    ran = anabranch("log", "acme/lab/a")

    # then
    heading, first, second = ran.out.splitlines()
    assert heading.split() == ["VERSION", "FATE", "WRITTEN", "AUTHOR", "MESSAGE"]
    assert first.split()[-2:] == ["Ada", "first"]
    assert second.split()[-2:] == ["Grace", "second"]
    lines = anabranch("log", "acme/lab/a", "--json").json
    assert [(line["dot"], line["fate"], line["message"]) for line in lines] == [
        ("1:1", "pending", "first"),
        ("1:2", "pending", "second"),
    ]


def test_the_log_of_what_is_not_there_is_not_found(anabranch: Anabranch) -> None:
    anabranch.synced()
    assert anabranch("log", "acme/lab/a").code == 3


def test_watch_prints_changes_of_other_processes_as_they_are_made(anabranch: Anabranch) -> None:
    # given a watch, which sees what is written after it has begun
    with anabranch.started("watch", "acme/lab", "--json") as watching:
        assert watching.stdout is not None
        anabranch("set", "acme/prod/elsewhere", "/x", "1")
        for number in itertools.count():
            anabranch("set", "acme/lab/a", "/x", str(number))
            if select.select([watching.stdout], [], [], 0.2)[0]:
                break
        first = json.loads(watching.stdout.readline())

        # when
        anabranch("delete", "acme/lab/a")
        while "deleted" not in (last := watching.stdout.readline()) or json.loads(last)["deleted"] is False:
            pass
        watching.send_signal(signal.SIGINT)
        code = watching.wait(PATIENCE_S)

    # then
    assert (first["namespace"], first["source"], first["deleted"]) == ("acme/lab/a", "local", False)
    assert json.loads(last) == {"namespace": "acme/lab/a", "key": "config", "deleted": True}
    assert code == 130


def test_a_watch_counts_as_far_as_anybody_asks(anabranch: Anabranch) -> None:
    ran = anabranch("watch", "--count", "9" * 30, "--timeout", "0")
    assert (ran.code, ran.out) == (0, "")


def test_a_watch_ends_after_so_many_changes(anabranch: Anabranch) -> None:
    # given
    with anabranch.started("watch", "--count", "1", "--json") as watching:
        assert watching.stdout is not None
        for number in itertools.count():
            anabranch("set", "acme/lab/a", "/x", str(number))
            if select.select([watching.stdout], [], [], 0.2)[0]:
                break

        # when
        code = watching.wait(PATIENCE_S)

    # then
    assert code == 0


def test_a_watch_ends_after_its_time(anabranch: Anabranch) -> None:
    ran = anabranch("watch", "--timeout", "0")
    assert (ran.code, ran.out) == (0, "")
