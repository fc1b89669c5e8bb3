"""The replica's tables, and how a file of an earlier version becomes one of this.

`PRAGMA user_version` counts the migrations applied, so that opening an up-to-date file costs one
statement; sqlite-utils, which runs them and takes 270 ms to import, is loaded only when there is
something to run. A migration and the note that it ran are one transaction.
"""

from pathlib import Path

from anabranch.errors import ReplicaTooNew
from anabranch.replica.file import APPLICATION_ID, Connection

_FOLDER = Path(__file__).with_name("schema")
MIGRATIONS = tuple(sorted(path.name for path in _FOLDER.glob("[0-9]*.sql")))
SCHEMA_VERSION = len(MIGRATIONS)


def prepare(connection: Connection, path: Path) -> None:
    """Bring the file to SCHEMA_VERSION. Raises ReplicaTooNew."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise ReplicaTooNew(str(path), f"its schema is version {version}, known here up to {SCHEMA_VERSION}")
    if version < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")  # of two processes that open an old file, one migrates
        try:
            _migrate(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk has ended it already
                connection.execute("ROLLBACK")
            raise


def _migrate(connection: Connection) -> None:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations("anabranch.replica")
    for number, name in enumerate(MIGRATIONS, 1):

        def run(database: Database, number: int = number, name: str = name) -> None:
            for statement in _statements((_FOLDER / name).read_text("utf-8")):
                database.execute(statement)
            database.execute(f"PRAGMA application_id={APPLICATION_ID}")
            database.execute(f"PRAGMA user_version={number}")

        migrations(name=name)(run)
    migrations.apply(Database(connection))


def _statements(script: str) -> list[str]:
    """The statements of a migration (`executescript` would commit the transaction around it)."""
    lines = [line.split("--")[0].rstrip() for line in script.splitlines()]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]
