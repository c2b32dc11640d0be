"""The gateway's database, SQLite on one machine or PostgreSQL for several: opening, migrating, querying in threads."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from mesh.errors import Unavailable
from mesh.private_files import private_file, private_folder, tighten
from mesh.settings import SettingsError
from mesh.telemetry import log

Result = TypeVar("Result")

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_S = 10
_CONNECTIONS = 20
_PROBE_S = 2.0


class RecordsAway(Unavailable):
    """The database is not available at the moment."""


class Database:
    """A database, and the threads in which it is queried.

    Args:
        engine: SQLAlchemy's; `work` runs in its transactions.
        durable: whether it outlives this process.
    """

    def __init__(self, engine: Engine, durable: bool) -> None:
        self.engine = engine
        self.durable = durable
        # SQLite runs one of our transactions at a time. Threads that wait for its lock try again, in no order:
        # under load some wait for seconds. One thread takes them first come, first served.
        threads = 1 if engine.dialect.name == "sqlite" else _CONNECTIONS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="records")
        self._probing: asyncio.Future[int] | None = None

    async def run(self, work: Callable[[Connection], Result]) -> Result:
        """Run `work` in one transaction, in a thread; commit if it returns.

        Raises:
            RecordsAway: the database is not available. `work` was not committed, unless the connection broke during the
                commit; so work that is retried must be idempotent.
            Anything that `work` raises, after a rollback.
        """
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, self.run_here, work)
        except RuntimeError as error:
            raise RecordsAway("this gateway is shutting down; send the request again", retry_after_s=1) from error
        return await running

    async def probe(self) -> None:
        """Check that the database answers.

        Raises:
            RecordsAway: it does not, or not within a limit of seconds.
        """
        # One question at a time: a database that hangs would hold a thread for each.
        if self._probing is None or self._probing.done():
            self._probing = asyncio.ensure_future(
                self.run(lambda connection: connection.execute(select(1)).scalar_one())
            )
            self._probing.add_done_callback(_seen)
        try:
            async with asyncio.timeout(_PROBE_S):
                await asyncio.shield(self._probing)
        except TimeoutError:
            raise RecordsAway("the database does not answer; try again later", retry_after_s=2) from None

    def close(self) -> None:
        """Wait for running work, which goes on even if its caller was cancelled, and close all connections."""
        self._threads.shutdown()
        self.engine.dispose()

    def run_here(self, work: Callable[[Connection], Result]) -> Result:
        """As `run`, but in this thread."""
        try:
            with self.engine.begin() as connection:
                return work(connection)
        except (OperationalError, PoolTimeout) as error:
            raise _away(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise _away(error) from error
            raise


def _seen(probing: "asyncio.Future[int]") -> None:
    """Take note of how a question ended that nobody waits for any more."""
    if not probing.cancelled():
        probing.exception()


def _away(error: Exception) -> RecordsAway:
    # Not the driver's own message: it names hosts and files.
    log.error("database not available", reason=type(error).__name__)
    return RecordsAway("the database is not available at the moment; try again later", retry_after_s=2)


@contextmanager
def open_database(url: str) -> Iterator[Database]:
    """Open the database at `url` and run all migrations; empty: SQLite in a temporary folder.

    Args:
        url: sqlite:///absolute/path (four slashes in all) or postgresql://user@host/name.

    Raises:
        SettingsError: the URL is invalid, or the database there is missing, unreadable or locked.
    """
    if not url:
        with tempfile.TemporaryDirectory(prefix="controlmesh-records-") as folder:
            file = Path(folder) / "records.db"
            file.write_bytes(_empty())
            database = Database(_engine(f"sqlite:///{file}", durable=False), durable=False)
            try:
                yield database
            finally:
                database.close()
        return
    database = Database(_engine(url), durable=True)
    try:
        try:
            migrate(database.engine)
        except (DBAPIError, CommandError, OSError) as error:
            raise SettingsError(f"the database of CN_GATEWAY_DATABASE_URL {why_not(error)}") from error
        yield database
    finally:
        database.close()


@cache
def _empty() -> bytes:
    """The bytes of a migrated SQLite file, cached: migrating is the slowest part of opening a temporary database."""
    with tempfile.TemporaryDirectory(prefix="controlmesh-records-") as folder:
        file = Path(folder) / "records.db"
        engine = _engine(f"sqlite:///{file}", durable=False)
        try:
            migrate(engine)
        finally:
            engine.dispose()
        return file.read_bytes()


def why_not(error: Exception) -> str:
    """Why a database can't be opened because of `error`, and what to do: the end of a sentence."""
    if isinstance(error, CommandError):
        return "was migrated by a newer version of the gateway; run that version"
    said = str(error)
    if "not a database" in said or "malformed" in said:
        return (
            "is damaged, or the file is not a database; restore a backup, or move the file away to start with an "
            "empty one"
        )
    if "locked" in said:
        return "is locked by another program; stop that program"
    return (
        f"can't be opened ({type(error).__name__}); check its address, user and password, or leave it unset for "
        "records that end with the process"
    )


def migrate(engine: Engine, revision: str = "head") -> None:
    """Migrate the tables to `revision`; "base" drops them."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Several gateways may start at once; the lock is released with the transaction.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7272001)")
        config.attributes["connection"] = connection
        (command.downgrade if revision == "base" else command.upgrade)(config, revision)


def engine_url(url: str) -> str:
    """`url` with the driver that is installed.

    Raises:
        SettingsError: not a URL, or neither SQLite nor PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError(
            "CN_GATEWAY_DATABASE_URL is not a valid URL; write sqlite:////path or postgresql://..."
        ) from None
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite":
        if not parsed.database:
            raise SettingsError("CN_GATEWAY_DATABASE_URL names no file; write sqlite:////absolute/path")
        private_folder(Path(parsed.database).parent)
        return url
    if kind in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    raise SettingsError(f"CN_GATEWAY_DATABASE_URL is of kind {kind!r}; use sqlite or postgresql")


def private_database(url: str) -> None:
    """Create the SQLite file of `url` for its owner alone, or take it from the others: it holds keys and prompts.

    What can't be created is left to SQLite, which says why.
    """
    name = make_url(url).database or ""
    if name == ":memory:" or name.startswith("file:"):
        return
    file = Path(name)
    for suffix in ("-wal", "-shm", "-journal"):
        tighten(file.with_name(file.name + suffix))
    with suppress(OSError):
        # SQLite gives the files beside it the same mode.
        private_file(file)


def _engine(url: str, durable: bool = True) -> Engine:
    url = engine_url(url)
    if url.startswith("sqlite"):
        private_database(url)
        engine = create_engine(url, connect_args={"timeout": _BUSY_S, "check_same_thread": False})
        event.listen(engine, "connect", partial(_prepare, durable=durable))
        event.listen(engine, "begin", _begin)
        return engine
    return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=_CONNECTIONS - 10, pool_timeout=_BUSY_S)


def _prepare(connection: object, record: object, *, durable: bool) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    # What a client was told must be on the disk before the answer, unless the database ends with the process anyway.
    synchronous = "FULL" if durable else "OFF"
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # In SQLite a transaction that reads first and then writes fails at once if another one wrote in between; one that
    # takes the write lock at the start waits for its turn.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
