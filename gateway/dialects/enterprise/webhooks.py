"""What webhooks carry in the enterprise dialect, and how the vendor's customers may check it."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace

from gateway.bootstrap import Voice
from gateway.dialects.common.dialect import renamed
from gateway.dialects.enterprise.answers import announced
from gateway.jobs.job import Job
from gateway.models.loads import Load
from gateway.webhooks.announcement import EVENTS, Announcement, Link
from mesh.errors import MeshError

LOAD_NAMES = {"model": "model_id", "source": "url", "kind": "controlnet_type", "base": "base_model"}
"""Fields of a load -> the vendor's; the last is ours: the vendor's ControlNets belong to no model."""


def announce(job: Job, link: Link) -> Announcement:
    """The vendor's body; the event's name, which stands nowhere in it, is the native one."""
    told = replace(announced(job), event=EVENTS[job.status])
    if not job.pictures:
        return told
    suffix = ".base64" if job.echo.get("base64") else ""
    return replace(told, body={**told.body, "output": [link(f"{picture.asset}{suffix}") for picture in job.pictures]})


def announce_load(load: Load, failure: MeshError | None) -> Announcement:
    """The vendor documents that there are such webhooks, not what they say."""
    status, words = ("failed", renamed(failure, LOAD_NAMES).message) if failure else ("success", "model loaded")
    return Announcement(f"model.{status}", {"status": status, "model_id": load.name, "message": words})


def sign(secret: str, body: str) -> Mapping[str, str]:
    """The vendor signs nothing; this is the header that receivers of its kind look for, keyed by the secret's text."""
    return {"X-Signature-256": f"sha256={hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()}"}


VOICE = Voice(announce, announce_load=announce_load, sign=sign)
