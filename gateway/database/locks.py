"""Locks for transactions that count first and insert afterwards."""

from sqlalchemy import Connection, text


def lock(connection: Connection, what: str) -> None:
    """Hold the lock named `what` until the transaction ends, over all processes.

    In SQLite every transaction that writes has the only write lock from its beginning, so there is nothing to do.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 7272002))"), {"what": what})
