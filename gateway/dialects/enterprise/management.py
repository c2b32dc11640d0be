"""The enterprise dialect's functions for operators: load, queue, schedulers, storage, restarting.

The answers are the vendor's to the letter, whatever they lack.
"""

import math
from collections.abc import Mapping
from typing import Any

from gateway.dialects.common.dialect import renamed
from gateway.dialects.enterprise.call import Call, Function, done
from gateway.dialects.enterprise.declared import STORAGE
from gateway.dialects.enterprise.fields import missing
from gateway.dialects.enterprise.paths import version
from gateway.dialects.enterprise.unsupported import Absent
from gateway.files.tenant_storage import StorageOptions
from gateway.jobs.job import Filter, Status
from mesh.errors import MeshError

# In this order, the mesh's others behind them.
_SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "DPMSolverSinglestepScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "UniPCMultistepScheduler",
    "DDIMInverseScheduler",
    "DEISMultistepScheduler",
    "IPNDMScheduler",
    "KarrasVeScheduler",
    "ScoreSdeVeScheduler",
)
_OF_PACE = 20


async def system_details(call: Call) -> dict[str, Any]:
    """How many models are loaded, and how many seconds a new request would wait."""
    offer = await call.gateway.catalogue.offer()
    return {"model_count": len(offer.models), "queue_time": await _queue_s(call), "status": "ok"}


async def system_load(call: Call) -> dict[str, Any]:
    """How many requests wait, and for how many seconds."""
    _, waiting = call.gateway.jobs.load()
    return {"queue_num": waiting, "queue_time": await _queue_s(call), "status": "ok"}


async def schedulers_list(call: Call) -> dict[str, Any]:
    """Names of the schedulers; without a status, as the vendor has it."""
    offered = [scheduler.name for scheduler in (await call.gateway.catalogue.offer()).schedulers]
    known = [name for name in _SCHEDULERS if name in offered]
    return {"schedulers": known + [name for name in offered if name not in known]}


async def clear_queue(call: Call) -> dict[str, Any]:
    """Cancel the key's own requests that wait; nothing restarts, whatever the vendor's words say."""
    await call.gateway.jobs.clear(call.owner)
    return done("Queue cleared, server is restarting")


async def clear_cache(call: Call) -> dict[str, Any]:
    """Look at the mesh's lists anew; nothing else is kept that could be cleared."""
    call.gateway.catalogue.forget()
    return done("Cache cleared" if version(call.path) == "5" else "Cache cleared successfully")


async def restart_server(call: Call) -> dict[str, Any]:
    """Drain this gateway and end it, for its supervisor to start it anew, where the deployment allows it.

    Requests that wait or run are taken up by another gateway, or by this one once it is back.
    """
    if not call.gateway.settings.restartable:
        raise Absent("restart_server", "CN_GATEWAY_RESTARTABLE, and a supervisor that starts the gateway anew")
    call.gateway.ending.set()
    return done("server restarting")


async def update_s3(call: Call) -> dict[str, Any]:
    """Put the results of the key's owner into a storage of the owner's own from now on, after a check."""
    sent: Mapping[str, str] = {name: call.fields.text(theirs) for name, theirs in STORAGE.items()}
    for name, theirs in STORAGE.items():
        if not sent[name]:
            raise missing(theirs)
    try:
        await call.gateway.assets.use_storage(call.owner, StorageOptions(**sent))
    except MeshError as error:
        raise renamed(error, STORAGE) from None
    return done("s3 details updated")


async def reset_s3(call: Call) -> dict[str, Any]:
    """Put results into the deployment's own storage again, and forget the owner's keys."""
    await call.gateway.assets.reset_storage(call.owner)
    return done("s3 details reset")


async def _queue_s(call: Call) -> int:
    """Seconds that a new request would wait, from the pace of the owner's last ones; whole, as the vendor's are."""
    _, waiting = call.gateway.jobs.load()
    if not waiting:
        return 0
    page = await call.gateway.jobs.page(call.owner, Filter(statuses=(Status.SUCCEEDED,)), _OF_PACE)
    taken = [
        (job.finished_at - job.started_at).total_seconds() for job in page.jobs if job.finished_at and job.started_at
    ]
    # Nothing is known of the pace at first; a request is then taken to run for ten seconds, as for `eta`.
    pace = sum(taken) / len(taken) if taken else 10.0
    return math.ceil(waiting * pace / call.gateway.settings.max_pictures)


FUNCTIONS: Mapping[str, Function] = {
    function.__name__: function
    for function in (
        system_details,
        system_load,
        schedulers_list,
        clear_queue,
        clear_cache,
        restart_server,
        update_s3,
        reset_s3,
    )
}
