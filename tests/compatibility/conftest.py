"""A Postgres of its own: these tests restore the tables of other releases."""

from tests.migration.conftest import anyio_backend, dsn, server_dsn

__all__ = ["anyio_backend", "dsn", "server_dsn"]
