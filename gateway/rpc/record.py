"""Jobs as messages of GenerationService."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from controlmesh.v1 import generation_pb2, types_pb2
from gateway.files.assets import Assets
from gateway.generation.generation import FORMATS
from gateway.generation.pipeline import Preview
from gateway.jobs.job import Job, Status, StoredPicture
from mesh.containers import head
from mesh.errors import MeshError

DIALECT = "grpc"
"""The name of this API in the records of its jobs."""
STATUSES: dict[Status, generation_pb2.JobStatus.ValueType] = {
    Status.QUEUED: generation_pb2.JOB_STATUS_QUEUED,
    Status.RUNNING: generation_pb2.JOB_STATUS_RUNNING,
    Status.SUCCEEDED: generation_pb2.JOB_STATUS_SUCCEEDED,
    Status.FAILED: generation_pb2.JOB_STATUS_FAILED,
    Status.CANCELLED: generation_pb2.JOB_STATUS_CANCELLED,
}


async def contents(assets: Assets, job: Job) -> list[bytes]:
    """The files of a job's pictures."""
    found = await asyncio.gather(*(assets.get(picture.asset) for picture in job.pictures))
    return [asset.content for asset in found]


def record(
    job: Job, links: Sequence[str], files: Sequence[bytes] = (), shown: Preview | None = None
) -> generation_pb2.Job:
    """The message for a job.

    Args:
        job: in any state.
        links: URLs of its finished pictures, in order.
        files: content of its finished pictures; empty: left out.
        shown: the preview that was sent last.
    """
    known = generation_pb2.Job(
        id=job.id,
        status=STATUSES[job.status],
        progress=progress(job, shown),
        priority=job.priority,
        attempts=job.attempts,
        dialect=job.dialect,
        webhook=job.webhook or "",
        created_at=_moment(job.created_at),
        started_at=_moment(job.started_at),
        finished_at=_moment(job.finished_at),
    )
    if job.status == Status.SUCCEEDED:
        known.result.CopyFrom(result(job, files, links))
    if job.error is not None:
        known.error.CopyFrom(_error(job.error))
    return known


def progress(job: Job, shown: Preview | None) -> generation_pb2.GenerateProgress:
    """The progress of `job`, with its preview unless that was `shown` before."""
    known = generation_pb2.GenerateProgress(step=job.step, steps=job.steps)
    if job.preview is not None and job.preview is not shown:
        _, width, height = head(job.preview.content)
        known.preview_of = job.preview.picture
        known.preview.CopyFrom(
            types_pb2.Image(content=job.preview.content, format=types_pb2.IMAGE_FORMAT_PNG, width=width, height=height)
        )
    return known


def result(job: Job, files: Sequence[bytes], links: Sequence[str] = ()) -> generation_pb2.GenerateResult:
    """The result of a job; without `files` or `links` their fields stay empty."""
    nothing = len(job.pictures)
    images = [
        _image(job, picture, content, url)
        for picture, content, url in zip(job.pictures, files or [b""] * nothing, links or [""] * nothing, strict=True)
    ]
    return generation_pb2.GenerateResult(
        id=job.id,
        images=images,
        notes=[*job.echo.get("remarks", ()), *job.notes] if job.dialect == DIALECT else job.notes,
        prompt=job.prompt or "",
        negative_prompt=job.negative_prompt or "",
    )


def _image(job: Job, picture: StoredPicture, content: bytes, url: str) -> generation_pb2.GeneratedImage:
    image = types_pb2.Image(
        content=content, format=FORMATS[job.generation.format], width=picture.width, height=picture.height
    )
    return generation_pb2.GeneratedImage(seed=picture.seed, image=image, url=url)


def _error(error: MeshError) -> generation_pb2.JobError:
    known = generation_pb2.JobError(code=error.code.name, message=error.message, field=error.field or "")
    if error.retry_after_s is not None:
        pause = Duration()
        pause.FromNanoseconds(int(error.retry_after_s * 1e9))
        known.retry_after.CopyFrom(pause)
    return known


def _moment(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    known = Timestamp()
    known.FromDatetime(moment)
    return known
