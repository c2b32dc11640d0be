"""The tables of the gateway's database for SQLAlchemy; gateway/database/migrations creates and changes them.

Times are seconds since 1970 (UTC) as the database's own clock gives them, so that processes with wrong clocks agree.
Documents are JSON text. No picture is stored here, and no plain-text key of a client or of its storage.
"""

from datetime import UTC, datetime
from typing import overload

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
    UniqueConstraint,
    func,
    literal_column,
)
from sqlalchemy.sql import ColumnElement

METADATA = MetaData()

Moment = ColumnElement[float]
"""A time in seconds since 1970, or the SQL expression for it."""

JOBS = Table(
    "cn_jobs",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("dialect", String(32), nullable=False),
    Column("echo", JSON, nullable=False),
    # The request without its pictures, and the names of those pictures among the assets.
    Column("generation", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),
    # Request id and trace of the request.
    Column("carried", JSON, nullable=False),
    # Hash of the request behind an idempotency key: a different request under the same key is refused.
    Column("fingerprint", String(64)),
    # Names that the finished pictures will have.
    Column("assets", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    # A caller waits for it: it bypasses the queue.
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
    # Of the pictures that were sent, which are stored until it ends.
    Column("input_bytes", Integer, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("deadline_at", Float),
    Index("cn_jobs_of_owner", "owner", "created_at"),
    Index("cn_jobs_by_status", "status", "created_at"),
)

OPEN_JOBS = ("queued", "running")
"""Values of the column `status` of jobs that have not ended."""

EXECUTORS = Table(
    "cn_executors",
    METADATA,
    Column("id", String(128), primary_key=True),
    Column("beat_at", Float, nullable=False),
)

# Rows of keys are never removed, and every change except `last_used_at` is counted: KeyWatch detects changes by that.
KEYS = Table(
    "cn_keys",
    METADATA,
    # Public: k_ and 8 hex digits.
    Column("id", String(16), primary_key=True),
    # SHA-256 of the key in hex.
    Column("digest", String(64), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("most_waiting", Integer),
    Column("requests_per_minute", Integer),
    Column("most_priority", Integer),
    # Dialect -> its option -> yes or no; missing options default to the deployment's.
    Column("options", JSON, nullable=False, server_default="{}"),
    # Number of changes of the options so far.
    Column("changes", Integer, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
)

ASSETS = Table(
    "cn_assets",
    METADATA,
    # Also the file's name.
    Column("id", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    # The client's name for it.
    Column("name", String(255), nullable=False),
    Column("media_type", String(32), nullable=False),
    Column("size", Integer, nullable=False),
    # Bytes in the deployment's store: `size`, or 0 for a file in its owner's own storage.
    Column("stored", Integer, nullable=False, server_default="0"),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("source", String(64), nullable=False),
    Column("job_id", String(64), nullable=False),
    # Hash of owner, source, kind of expiry and content, so that a repeated upload is the same record. None for results
    # of jobs.
    Column("fingerprint", String(64), unique=True),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Index("cn_assets_of_owner", "owner", "created_at"),
    Index("cn_assets_by_expiry", "expires_at"),
    Index("cn_assets_stored", "owner", "stored"),
)

# Owners' own storages. `sealed` holds the secret key, encrypted.
STORAGES = Table(
    "cn_storages",
    METADATA,
    Column("owner", String(64), primary_key=True),
    Column("id", String(64), nullable=False),
    Column("options", JSON, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

# Files in owners' storages, by name: which storage, and the public URL.
PLACES = Table(
    "cn_places",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("storage", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Index("cn_places_by_time", "created_at"),
)

UPLOADS = Table(
    "cn_uploads",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("file_name", String(255), nullable=False),
    Column("size", Integer, nullable=False),
    Column("media_type", String(64), nullable=False),
    Column("parts", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("error", Text),
    # The id of the finished asset.
    Column("asset", String(64)),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index("cn_uploads_of_owner", "owner", "created_at"),
    Index("cn_uploads_by_expiry", "expires_at"),
)

UPLOAD_PARTS = Table(
    "cn_upload_parts",
    METADATA,
    Column("upload", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # The part's file; a part that is sent again gets a new one.
    Column("path", String(128), nullable=False),
    Column("size", Integer, nullable=False),
)

# Models, and ControlNets for them, that are being loaded, by name, so that nothing is loaded twice at once. A row is
# deleted in the transaction that writes its webhook delivery.
LOADS = Table(
    "cn_loads",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("id", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    # The dialect of the webhook's body.
    Column("dialect", String(32), nullable=False),
    Column("source", Text, nullable=False),
    # Of a ControlNet: its control kind and its base model. None for a model.
    Column("kind", String(64)),
    Column("model", String(64)),
    Column("webhook", Text),
    Column("attempts", Integer, nullable=False),
    # The process that works on it, and until when it holds that lease unless it renews it.
    Column("held_by", String(64), nullable=False),
    Column("held_until", Float, nullable=False),
    Column("created_at", Float, nullable=False),
)

# Random keys that all processes of a deployment share, created on first use.
SECRETS = Table(
    "cn_secrets",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", String(128), nullable=False),
)


# Webhook endpoints of owners. Their secrets are stored in plain text, because signing needs them.
ENDPOINTS = Table(
    "cn_endpoints",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    # The dialect of the bodies and event names.
    Column("dialect", String(32), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("description", Text, nullable=False),
    Column("secret", String(128), nullable=False),
    Column("enabled", Boolean, nullable=False),
    # Why it was disabled automatically; None if its owner disabled it, or if it is enabled.
    Column("disabled_because", String(64)),
    # Time of the last success.
    Column("delivered_at", Float),
    Column("failed_calls", Integer, nullable=False),
    Column("total_calls", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("cn_endpoints_of_owner", "owner", "created_at"),
)

DELIVERIES = Table(
    "cn_deliveries",
    METADATA,
    # Receivers recognize a repeated delivery by it.
    Column("id", String(64), primary_key=True),
    Column("job_id", String(64), nullable=False),
    Column("owner", String(64), nullable=False),
    # None for the webhook URL of a request.
    Column("endpoint_id", String(64)),
    Column("url", Text, nullable=False),
    Column("event", String(64), nullable=False),
    Column("dialect", String(32), nullable=False),
    # The body as sent, the same in every attempt.
    Column("body", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Float),
    Column("last_answer", String(64)),
    # For each attempt, when it was sent and the result.
    Column("tries", JSON),
    Column("created_at", Float, nullable=False),
    Column("done_at", Float),
    UniqueConstraint("job_id", "event", "url", name="cn_deliveries_once"),
    Index("cn_deliveries_by_time", "status", "next_at"),
    Index("cn_deliveries_of_endpoint", "endpoint_id", "created_at"),
    Index("cn_deliveries_of_owner", "owner", "status"),
)


@overload
def moment(seconds: float) -> datetime: ...
@overload
def moment(seconds: float | None) -> datetime | None: ...
def moment(seconds: float | None) -> datetime | None:
    """A time of these tables as a datetime in UTC; None for None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def now(dialect: Dialect) -> Moment:
    """SQL expression for the database's clock, seconds since 1970."""
    if dialect.name == "sqlite":
        return literal_column("round((julianday('now') - 2440587.5) * 86400.0, 3)", Float)
    return func.extract("epoch", func.clock_timestamp()).cast(Float)
