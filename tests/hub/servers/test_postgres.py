"""A private Postgres starts anywhere, keeps what it was given, and leaves nothing behind."""

from __future__ import annotations

import psycopg


def test_the_server_acknowledges_only_what_is_on_disk(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            row = connection.execute("select current_setting(%s)", (setting,)).fetchone()
            assert row == ("on",)
