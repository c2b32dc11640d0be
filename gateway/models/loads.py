"""Models that are being loaded, as they stand in the database: who asked for what, and which process is at it.

A process holds what it is at for a while, and says again and again that it still does. What nobody holds any more,
because a process was killed, is taken up by the next one that looks.
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
    """A model that somebody wants, or a ControlNet for one.

    Attributes:
        name: that it gets.
        source: a folder, or a hub's owner/name.
        owner: who asked.
        dialect: in whose words the webhook is told.
        webhook: is told of the end; None for nobody.
        kind, model: of a ControlNet: the kind of control whose hints it takes, and the model that it steers.
        attempts: how often processes began with it.
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
"""How a dialect tells of a load's end: of its failure, or of None."""


def begin(connection: Connection, load: Load, holder: str, hold_s: float) -> None:
    """Put a load down, held by `holder`; Conflict if one of its name stands there."""
    if is_waiting(connection, load.name):
        raise being_loaded(load.name)
    moment = now(connection.dialect)
    values = {name: getattr(load, name) for name in Load.__dataclass_fields__}
    connection.execute(insert(LOADS).values(**values, held_by=holder, held_until=moment + hold_s, created_at=moment))


def is_waiting(connection: Connection, name: str) -> bool:
    """Whether something of that name is being loaded, by whatever process."""
    return connection.execute(select(LOADS.c.id).where(LOADS.c.name == name)).one_or_none() is not None


def hold(connection: Connection, id: str, holder: str, hold_s: float) -> bool:
    """Hold a load for longer; False if another process has it by now. With 0 seconds it is anybody's."""
    held = update(LOADS).where(LOADS.c.id == id, LOADS.c.held_by == holder)
    return connection.execute(held.values(held_until=now(connection.dialect) + hold_s)).rowcount == 1


def take_up(connection: Connection, holder: str, hold_s: float) -> list[Load]:
    """The loads that nobody holds any more; `holder` does now."""
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
    """Take a load out; False if another process has it by now, so that a load ends once."""
    return connection.execute(delete(LOADS).where(LOADS.c.id == id, LOADS.c.held_by == holder)).rowcount == 1


def being_loaded(name: str) -> Conflict:
    """What is said of a name that is taken up."""
    return Conflict(f"model {name!r} is being loaded already", field="model")
