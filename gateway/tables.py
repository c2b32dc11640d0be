"""The tables of the gateway's database, as SQLAlchemy sees them; gateway/migrations makes and changes them.

Times are seconds since 1970 (UTC) as the database's own clock gives them, so that processes with wrong clocks agree.
Documents are JSON text. No picture and no key in plain lies here.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    literal_column,
)
from sqlalchemy.sql import ColumnElement

METADATA = MetaData()

JOBS = Table(
    "cn_jobs",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("dialect", String(32), nullable=False),
    Column("echo", JSON, nullable=False),
    # What was asked, without pictures, and the names of those among the assets.
    Column("generation", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),
    # Of the request behind an idempotency key: another request under the same key is refused.
    Column("fingerprint", String(64)),
    # Names under which the pictures will lie.
    Column("assets", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    # A caller waits for it: it does not stand in the queue.
    Column("at_once", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("executor", String(128)),
    Column("step", Integer, nullable=False, default=0),
    Column("steps", Integer, nullable=False, default=0),
    Column("prompt", Text),
    Column("negative_prompt", Text),
    Column("pictures", JSON, nullable=False),
    Column("notes", JSON, nullable=False),
    Column("error", JSON),
    Column("webhook", Text),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("deadline_at", Float),
    Index("cn_jobs_of_owner", "owner", "created_at"),
    Index("cn_jobs_by_status", "status", "created_at"),
)

EXECUTORS = Table(
    "cn_executors",
    METADATA,
    Column("id", String(128), primary_key=True),
    Column("beat_at", Float, nullable=False),
)


def now(dialect: Dialect) -> ColumnElement[float]:
    """The database's clock, seconds since 1970."""
    if dialect.name == "sqlite":
        return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Float)
    return func.extract("epoch", func.clock_timestamp()).cast(Float)
