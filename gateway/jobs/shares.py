"""Limits of records: how many of an owner's jobs may wait or be kept, and how large one may be.

The bound on an owner's waiting jobs is a dynamic threshold (Choudhury and Hahne, "Dynamic queue length thresholds for
shared-memory packet switches", 1998): as many as there are free places left, times a factor. With the factor 1 a single
owner holds at most half of the places, two a third each, and there is always room for one more.
"""

import orjson
from sqlalchemy import Connection, func, select

from gateway.database.tables import JOBS
from gateway.jobs.job import REFUSED, Order, Status
from gateway.jobs.limits import Bounds
from gateway.jobs.rows import generation_row
from mesh.errors import InvalidInput, Overloaded, TooOften

MOST_RECORD_BYTES = 1024 * 1024
"""Of a job's text; its pictures are stored elsewhere."""
_PAUSE_S = 5.0


def check_size(order: Order) -> None:
    """Check that the order's record is not larger than MOST_RECORD_BYTES. InvalidInput."""
    texts = (order.echo, generation_row(order.generation, order.task), order.webhook)
    size = len(orjson.dumps(texts, default=str))
    if size > MOST_RECORD_BYTES:
        raise InvalidInput(f"the request's text has {size} bytes on record, of {MOST_RECORD_BYTES} at most; send less")


def check_room(connection: Connection, order: Order, bounds: Bounds) -> None:
    """Check that another job of the order's owner may wait.

    Raises:
        Overloaded: as many jobs wait as may, of all owners.
        TooOften: as many of this owner wait, or are on record, as may.
    """
    waiting = connection.execute(select(func.count()).where(JOBS.c.status == Status.QUEUED)).scalar_one()
    if waiting >= bounds.max_waiting:
        REFUSED.labels("waiting").inc()
        raise Overloaded(f"{waiting} generations are already waiting; try again later", retry_after_s=_PAUSE_S)
    own = connection.execute(
        select(func.count()).where(JOBS.c.status == Status.QUEUED, JOBS.c.owner == order.owner)
    ).scalar_one()
    free = bounds.max_waiting - waiting
    is_full = bool(bounds.owner_share) and not order.is_sole and own >= bounds.owner_share * free
    if is_full or (order.most_waiting is not None and own >= order.most_waiting):
        REFUSED.labels("owner_waiting").inc()
        why = "; the other places are kept for others" if is_full else ""
        raise TooOften(f"{own} of your generations are already waiting{why}; try again later", retry_after_s=_PAUSE_S)
    if bounds.owner_records:
        kept = connection.execute(select(func.count()).where(JOBS.c.owner == order.owner)).scalar_one()
        if kept >= bounds.owner_records:
            REFUSED.labels("owner_records").inc()
            raise TooOften(
                f"{kept} of your generations are on record, and no more are kept; try again when the oldest have "
                f"expired, {bounds.retention_s:g} seconds after their end",
                retry_after_s=bounds.retention_s / 10,
            )
