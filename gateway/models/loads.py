"""Database records of models that are being loaded, and the leases of the processes that load them.

A process holds a lease on its loads and renews it regularly. An expired lease, of a process that was killed, is taken
over by the next process that looks.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select, update

from gateway.database.tables import LOADS, now
from gateway.webhooks.announcement import Announcement
from mesh.errors import Conflict, MeshError


@dataclass(frozen=True)
class Load:
    """A request to load a model, or a ControlNet for one.

    Attributes:
        name: the name to load it under.
        source: a folder, or a hub's owner/name.
        owner: whose request it is.
        dialect: dialect of the webhook's body.
        webhook: URL notified of the end; None for none.
        kind, model: of a ControlNet: its control kind, and the model that it steers.
        attempts: how many times a process started it.
    """

    name: str
    source: str
    owner: str
    dialect: str
    webhook: str | None = None
    kind: str | None = None
    model: str | None = None
    attempts: int = 1
    id: str = field(default_factory=lambda: secrets.token_hex(16))


LoadAnnouncer = Callable[[Load, MeshError | None], Announcement]
"""How a dialect announces the end of a load, given its failure or None."""


def begin(connection: Connection, load: Load, holder: str, hold_s: float) -> None:
    """Insert a load, held by `holder`; Conflict if there is one of the same name."""
    if is_waiting(connection, load.name):
        raise being_loaded(load.name)
    moment = now(connection.dialect)
    values = {name: getattr(load, name) for name in Load.__dataclass_fields__}
    connection.execute(insert(LOADS).values(**values, held_by=holder, held_until=moment + hold_s, created_at=moment))


def is_waiting(connection: Connection, name: str) -> bool:
    """Whether a load of that name is pending or running in any process."""
    return connection.execute(select(LOADS.c.id).where(LOADS.c.name == name)).one_or_none() is not None


def hold(connection: Connection, id: str, holder: str, hold_s: float) -> bool:
    """Renew the lease of a load; False if another process has taken it over. 0 seconds releases it."""
    held = update(LOADS).where(LOADS.c.id == id, LOADS.c.held_by == holder)
    return connection.execute(held.values(held_until=now(connection.dialect) + hold_s)).rowcount == 1


def take_up(connection: Connection, holder: str, hold_s: float) -> list[Load]:
    """Take over the loads with expired leases for `holder`; returns them."""
    moment = now(connection.dialect)
    taken = []
    for row in connection.execute(select(LOADS).where(LOADS.c.held_until <= moment)).all():
        same = update(LOADS).where(
            LOADS.c.id == row.id, LOADS.c.held_by == row.held_by, LOADS.c.attempts == row.attempts
        )
        values = {"held_by": holder, "held_until": moment + hold_s, "attempts": row.attempts + 1}
        if connection.execute(same.values(**values)).rowcount == 1:
            known = {name: getattr(row, name) for name in Load.__dataclass_fields__}
            taken.append(Load(**{**known, "attempts": row.attempts + 1}))
    return taken


def end(connection: Connection, id: str, holder: str) -> bool:
    """Delete a load; False if another process has taken it over, so that a load ends once."""
    return connection.execute(delete(LOADS).where(LOADS.c.id == id, LOADS.c.held_by == holder)).rowcount == 1


def being_loaded(name: str) -> Conflict:
    """The error for a name that is already being loaded."""
    return Conflict(f"model {name!r} is already being loaded", field="model")
