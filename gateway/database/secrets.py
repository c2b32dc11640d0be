"""Random keys of the deployment, shared by all its processes."""

import secrets

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from gateway.database.tables import SECRETS


def shared_key(connection: Connection, name: str) -> bytes:
    """The deployment's random key of that name, 32 bytes, created on first use; it never changes."""
    asked = select(SECRETS.c.value).where(SECRETS.c.name == name)
    if (known := connection.execute(asked).scalar_one_or_none()) is None:
        try:
            with connection.begin_nested():
                connection.execute(insert(SECRETS).values(name=name, value=secrets.token_hex(32)))
        except IntegrityError:
            pass  # another process created it first
        known = connection.execute(asked).scalar_one()
    return bytes.fromhex(known)
