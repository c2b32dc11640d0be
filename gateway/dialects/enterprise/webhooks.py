"""Webhook messages of the enterprise dialect, and their signature."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace

from gateway.bootstrap import Voice
from gateway.dialects.common.wording import renamed
from gateway.dialects.enterprise.answers import announced
from gateway.jobs.job import Job
from gateway.models.loads import Load
from gateway.webhooks.announcement import EVENTS, Announcement, Link
from mesh.errors import MeshError

LOAD_NAMES = {"model": "model_id", "source": "url", "kind": "controlnet_type", "base": "base_model"}
"""Fields of a load -> the vendor's; the last is ours: the vendor's ControlNets do not belong to a model."""


def announce(job: Job, link: Link) -> Announcement:
    """The vendor's body; it does not contain the event's name, which is the native one."""
    told = replace(announced(job), event=EVENTS[job.status])
    if not job.pictures:
        return told
    suffix = ".base64" if job.echo.get("base64") else ""
    return replace(told, body={**told.body, "output": [link(f"{picture.asset}{suffix}") for picture in job.pictures]})


def announce_load(load: Load, failure: MeshError | None) -> Announcement:
    """The message at the end of a load: the vendor documents that it exists, but not its content."""
    status, words = ("failed", renamed(failure, LOAD_NAMES).message) if failure else ("success", "model loaded")
    return Announcement(f"model.{status}", {"status": status, "model_id": load.name, "message": words})


def sign(secret: str, body: str) -> Mapping[str, str]:
    """A signature header as receivers commonly check it, keyed by the secret's text; the vendor signs nothing."""
    return {"X-Signature-256": f"sha256={hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()}"}


VOICE = Voice(announce, announce_load=announce_load, sign=sign)
