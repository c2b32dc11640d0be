"""The enterprise dialect's functions for operators: load, queue, schedulers, storage, restart.

The answers are exactly the vendor's, including their omissions.
"""

import math
from collections.abc import Mapping
from typing import Any

from gateway.dialects.common.wording import renamed
from gateway.dialects.enterprise.call import Call, Function, done
from gateway.dialects.enterprise.declared import STORAGE
from gateway.dialects.enterprise.fields import missing
from gateway.dialects.enterprise.paths import version
from gateway.dialects.enterprise.unsupported import Absent
from gateway.files.tenant_storage import StorageOptions
from gateway.jobs.job import Filter, Status
from mesh.errors import MeshError

# In this order, followed by the mesh's others.
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
    """The number of loaded models, and the estimated wait of a new request in seconds."""
    offer = await call.gateway.catalogue.offer()
    return {"model_count": len(offer.models), "queue_time": await _queue_s(call), "status": "ok"}


async def system_load(call: Call) -> dict[str, Any]:
    """The number of waiting requests, and the estimated wait in seconds."""
    _, waiting = await call.gateway.jobs.load()
    return {"queue_num": waiting, "queue_time": await _queue_s(call), "status": "ok"}


async def schedulers_list(call: Call) -> dict[str, Any]:
    """Names of the schedulers; without a status, as in the vendor's API."""
    offered = [scheduler.name for scheduler in (await call.gateway.catalogue.offer()).schedulers]
    known = [name for name in _SCHEDULERS if name in offered]
    return {"schedulers": known + [name for name in offered if name not in known]}


async def clear_queue(call: Call) -> dict[str, Any]:
    """Cancel the waiting requests of the key's owner. Nothing restarts, despite the vendor's message."""
    await call.gateway.jobs.clear(call.owner)
    return done("Queue cleared, server is restarting")


async def clear_cache(call: Call) -> dict[str, Any]:
    """Invalidate the cached lists of the mesh; there are no other caches to clear."""
    call.gateway.catalogue.forget()
    return done("Cache cleared" if version(call.path) == "5" else "Cache cleared successfully")


async def restart_server(call: Call) -> dict[str, Any]:
    """Drain and stop this gateway, for its supervisor to restart it, if the deployment allows it.

    Waiting and running requests are taken over by another gateway, or by this one after the restart.
    """
    if not call.gateway.settings.restartable:
        raise Absent("restart_server", "CN_GATEWAY_RESTARTABLE, and a supervisor that restarts the gateway")
    call.gateway.ending.set()
    return done("server restarting")


async def update_s3(call: Call) -> dict[str, Any]:
    """Check the owner's own storage, and from now on store the results of the owner's requests there."""
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
    """Store results in the deployment's storage again, and delete the owner's credentials."""
    await call.gateway.assets.reset_storage(call.owner)
    return done("s3 details reset")


async def _queue_s(call: Call) -> int:
    """Estimated wait of a new request in whole seconds, from the pace of the owner's last ones."""
    _, waiting = await call.gateway.jobs.load()
    if not waiting:
        return 0
    page = await call.gateway.jobs.page(call.owner, Filter(statuses=(Status.SUCCEEDED,)), _OF_PACE)
    taken = [
        (job.finished_at - job.started_at).total_seconds() for job in page.jobs if job.finished_at and job.started_at
    ]
    # Without past requests, ten seconds per request are assumed, as for `eta`.
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
