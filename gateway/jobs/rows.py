"""Conversion of jobs to database rows and back."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import Row

from gateway.database.tables import moment
from gateway.generation import declared
from gateway.generation.generation import Control, Generation, Task
from gateway.jobs.job import Job, Status, StoredPicture
from mesh import errors
from mesh.errors import InternalError, MeshError

_ERRORS: dict[str, type[MeshError]] = {cls.__name__: cls for cls in (*errors.BY_CODE.values(), errors.TooOften)}
_PICTURES = declared.pictures_of(Generation)
_KNOWN = frozenset(field.name for field in fields(Generation)) - {*_PICTURES, "controls"}
_KNOWN_OF_CONTROL = frozenset(field.name for field in fields(Control)) - {*declared.pictures_of(Control)}
# How rows store the task, since the first version.
_HINT = "hints_only"


def pictures_of(generation: Generation) -> dict[str, bytes]:
    """Every picture of the request by field path: `image`, `mask`, `controls[0].image`, ..."""
    holders: list[tuple[str, Generation | Control]] = [("", generation)]
    holders += [(f"controls[{index}].", control) for index, control in enumerate(generation.controls)]
    return {
        f"{at}{name}": content for at, holder in holders for name in _PICTURES if (content := getattr(holder, name))
    }


def generation_row(generation: Generation, task: Task) -> dict[str, Any]:
    """The request without its pictures, and the task, as JSON."""
    plain: dict[str, Any] = {name: getattr(generation, name) for name in sorted(_KNOWN)}
    plain[_HINT] = task == Task.HINT
    plain["controls"] = [
        {name: getattr(control, name) for name in sorted(_KNOWN_OF_CONTROL)} for control in generation.controls
    ]
    return plain


def generation_of(row: Mapping[str, Any], pictures: Mapping[str, bytes]) -> Generation:
    """The request that `generation_row` stored, with `pictures` by field path. Unknown fields are left out."""
    controls = tuple(
        Control(
            **{name: value for name, value in control.items() if name in _KNOWN_OF_CONTROL},
            **_own(pictures, f"controls[{index}]."),
        )
        for index, control in enumerate(row["controls"])
    )
    plain = {name: value for name, value in row.items() if name in _KNOWN}
    return Generation(**plain, controls=controls, **_own(pictures, ""))


def task_of(row: Mapping[str, Any]) -> Task:
    """The task that `generation_row` stored."""
    return Task.HINT if row.get(_HINT) else Task.PICTURES


def with_pictures(generation: Generation, pictures: Mapping[str, bytes]) -> Generation:
    """`generation` with `pictures` by field path."""
    controls = tuple(
        replace(control, **_own(pictures, f"controls[{index}].")) for index, control in enumerate(generation.controls)
    )
    return replace(generation, controls=controls, **_own(pictures, ""))


def error_row(error: MeshError) -> dict[str, Any]:
    """An error as JSON."""
    return {
        "kind": type(error).__name__ if type(error).__name__ in _ERRORS else InternalError.__name__,
        "message": error.message,
        "field": error.field,
        "retry_after_s": error.retry_after_s,
    }


def error_of(row: Mapping[str, Any]) -> MeshError:
    """The error that `error_row` stored."""
    return _ERRORS.get(row["kind"], InternalError)(
        row["message"], field=row["field"], retry_after_s=row["retry_after_s"]
    )


def job_of(row: Row[Any]) -> Job:
    """The job of a row of JOBS; its input pictures are b""."""
    sent = dict.fromkeys(row.inputs, b"")
    return Job(
        id=row.id,
        owner=row.owner,
        generation=generation_of(row.generation, sent),
        assets=tuple(row.assets),
        number=row.number,
        dialect=row.dialect,
        echo=row.echo,
        priority=row.priority,
        webhook=row.webhook,
        task=task_of(row.generation),
        attempts=row.attempts,
        status=Status(row.status),
        step=row.step,
        steps=row.steps,
        prompt=row.prompt,
        negative_prompt=row.negative_prompt,
        pictures=tuple(StoredPicture(**picture) for picture in row.pictures),
        notes=tuple(row.notes),
        error=None if row.error is None else error_of(row.error),
        created_at=moment(row.created_at),
        started_at=moment(row.started_at),
        finished_at=moment(row.finished_at),
    )


def stored_row(picture: StoredPicture) -> dict[str, Any]:
    """A finished picture as JSON."""
    return asdict(picture)


def _own(pictures: Mapping[str, bytes], at: str) -> dict[str, Any]:
    return {name: pictures[f"{at}{name}"] for name in _PICTURES if f"{at}{name}" in pictures}
