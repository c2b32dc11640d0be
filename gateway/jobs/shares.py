"""Shares of owners: how many jobs may wait, and whose job's turn it is.

The bound on an owner's waiting jobs is a dynamic threshold (Choudhury and Hahne, "Dynamic queue length thresholds for
shared-memory packet switches", 1998): as many as there are free places left, times a factor. With the factor 1 a single
owner holds at most half of the places, two a third each, and there is always room for one more.

Turns are start tags of start-time fair queueing (Goyal, Vin and Cheng, 1996): a job stands behind its owner's last open
one, by that one's work, but never before what is next in the queue. Whoever sends much, early or often therefore gets
no more than whoever sends little, and what is cancelled costs its owner nothing.
"""

import math

import orjson
from sqlalchemy import Connection, func, or_, select

from gateway.database.tables import JOBS
from gateway.generation.generation import Generation, Task
from gateway.jobs.job import REFUSED, Order, Status
from gateway.jobs.limits import Bounds
from gateway.jobs.rows import generation_row
from mesh.errors import InvalidInput, Overloaded, TooOften

LAST_TURN = 2_000_000_000
"""Turns end here: workflow queues take priorities of 31 bits. Beyond it, jobs go in the order of their arrival."""
MOST_RECORD_BYTES = 1024 * 1024
"""Of a job's text; its pictures are stored elsewhere."""
_STEPS, _PIXELS = 20, 512 * 512
_PAUSE_S = 5.0


def cost(generation: Generation, task: Task) -> int:
    """The job's work in pictures of 20 steps and 512 × 512 pixels, at least one a picture."""
    if task == Task.HINT:
        return 1
    pixels = (generation.width or 512) * (generation.height or 512)
    return generation.samples * max(1, math.ceil(generation.steps / _STEPS * pixels / _PIXELS))


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


def next_turn(connection: Connection, owner: str) -> int:
    """The turn of a new job of `owner`: behind its open ones, and not before what is next in the queue."""
    is_waiting, is_running = JOBS.c.status == Status.QUEUED, JOBS.c.status == Status.RUNNING
    first, begun, own = connection.execute(
        select(
            func.min(JOBS.c.turn).filter(is_waiting),
            func.max(JOBS.c.turn).filter(is_running),
            func.max(JOBS.c.turn_end).filter(JOBS.c.owner == owner),
        ).where(or_(is_waiting, is_running))
    ).one()
    present = first if first is not None else begun or 0
    return min(max(present, own or 0), LAST_TURN)
