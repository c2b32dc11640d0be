"""Describes a job of any dialect in the Scenario dialect's terms."""

from collections.abc import Mapping
from typing import Any

from gateway.dialects.scenario.modality import spoken
from gateway.dialects.scenario.routes import DETECT, DETECTION, of_parts
from gateway.generation.generation import Generation, Task
from gateway.jobs.job import Job

NAME = "scenario"


def told(job: Job) -> Mapping[str, Any]:
    """The description of the job: the one recorded with its request, or one derived from the canonical request.

    It has `route`, `type` and `submitted_type` of the job, `asset_type` and `source` of its pictures, `model` as the
    client calls it, `input`, `remarks`, `project`, `hidden`, and `steering`, the field with the control's picture.
    """
    return job.echo if job.dialect == NAME else _translated(job)


def _translated(job: Job) -> Mapping[str, Any]:
    asked = job.generation
    common = {
        "model": asked.model or "",
        "remarks": [],
        "project": f"proj_{job.owner}",
        "hidden": False,
        "steering": "controlImage",
    }
    if job.task == Task.HINT:
        kinds = dict.fromkeys(("type", "submitted_type", "asset_type", "source"), DETECTION)
        return {**common, **kinds, "route": DETECT, "input": {"modality": _modality(asked)}}
    route = of_parts(bool(asked.controls), asked.image is not None, asked.mask is not None)
    return {
        **common,
        "route": route.name,
        "type": "inference",
        "submitted_type": route.submitted_type,
        "asset_type": route.asset_type,
        "source": route.source,
        "input": _input(asked),
    }


def _input(asked: Generation) -> dict[str, Any]:
    known = {
        "prompt": asked.prompt,
        "negativePrompt": asked.negative_prompt or None,
        "modelId": asked.model,
        "modality": _modality(asked) or None,
        "strength": asked.strength,
        "numSamples": asked.samples,
        "guidance": asked.guidance_scale,
        "numInferenceSteps": asked.steps,
        "width": asked.width,
        "height": asked.height,
        "scheduler": asked.scheduler,
        "seed": None if asked.seed is None else str(asked.seed),
    }
    return {name: value for name, value in known.items() if value is not None}


def _modality(asked: Generation) -> str:
    return ",".join(f"{spoken((control.kind,))[0]}:{control.weight:g}" for control in asked.controls)
