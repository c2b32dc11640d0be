"""The error classes. An error is raised where its cause is known, translated once, and phrased by each dialect.

Messages are for the caller: they say what was wrong and what to change, and never contain a path, an address, a trace
or another server's words.
"""

import grpc

FIELD_METADATA = "controlmesh-field"
RETRY_METADATA = "retry-after-s"
BEGUN_METADATA = "controlmesh-begun"


class MeshError(Exception):
    """Base class of every error that a caller may see.

    Args:
        message: one or two English sentences for the caller.
        field: name of the request's field that is at fault, if there is one.
        retry_after_s: seconds after which the same request may succeed, if it may.
    """

    code = grpc.StatusCode.INTERNAL

    def __init__(self, message: str, *, field: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s


class InternalError(MeshError):
    """A fault of the mesh; the caller can only report it."""


class InvalidInput(MeshError):
    """The request is invalid; `field` names the part to change."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(MeshError):
    """What the request names does not exist, or belongs to someone else."""

    code = grpc.StatusCode.NOT_FOUND


class Conflict(MeshError):
    """The request conflicts with an earlier one under the same name."""

    code = grpc.StatusCode.ALREADY_EXISTS


class Unauthenticated(MeshError):
    """The caller's key is missing or unknown."""

    code = grpc.StatusCode.UNAUTHENTICATED


class Forbidden(MeshError):
    """The caller is known but not allowed to do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class NotEnabled(MeshError):
    """The API has this feature, but it is not available in this deployment."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Overloaded(MeshError):
    """A limit was reached; try again later."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class TooOften(Overloaded):
    """The caller's own limit was reached, not the deployment's."""


class Unavailable(MeshError):
    """A service of the mesh does not answer; try again later."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(MeshError):
    """The caller's deadline passed before the work was done."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(MeshError):
    """The caller cancelled the request."""

    code = grpc.StatusCode.CANCELLED


BY_CODE: dict[grpc.StatusCode, type[MeshError]] = {
    cls.code: cls
    for cls in (
        InternalError,
        InvalidInput,
        NotFound,
        Conflict,
        Unauthenticated,
        Forbidden,
        NotEnabled,
        Overloaded,
        Unavailable,
        DeadlineExceeded,
        Cancelled,
    )
}

HTTP_STATUS: dict[grpc.StatusCode, int] = {
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 422,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.CANCELLED: 499,
}


def from_rpc(error: grpc.aio.AioRpcError) -> MeshError:
    """Translate `error`: to the MeshError that another service raised, or to one that says the transport failed."""
    metadata = dict(error.trailing_metadata() or ())
    if (field := metadata.get(FIELD_METADATA)) is not None or "controlmesh-error" in metadata:
        retry = metadata.get(RETRY_METADATA)
        cls = BY_CODE.get(error.code(), InternalError)
        return cls(
            error.details() or "",
            field=str(field) if field else None,
            retry_after_s=float(retry) if retry is not None else None,
        )
    return _TRANSPORT.get(error.code(), _unexpected)(error)


def is_unseen(error: grpc.aio.AioRpcError) -> bool:
    """Whether the call may not have reached a service: the transport, a proxy or a closing server refused it.

    A stream that a service has begun says so: what may have ended that service is not sent to the next one.
    """
    begun = dict(error.initial_metadata() or ())
    said = dict(error.trailing_metadata() or ())
    return (
        error.code() == grpc.StatusCode.UNAVAILABLE and BEGUN_METADATA not in begun and "controlmesh-error" not in said
    )


def unexpected(request_id: str = "") -> InternalError:
    """The error for what nobody foresaw; the log has it, under the id of the request if there is one."""
    where = f"the log has it under request id {request_id}" if request_id else "the log has the details"
    return InternalError(f"an unexpected error occurred; {where}")


def _unavailable(_: grpc.aio.AioRpcError) -> MeshError:
    return Unavailable("a service of the mesh does not answer; try again in a few seconds", retry_after_s=2)


def _deadline(_: grpc.aio.AioRpcError) -> MeshError:
    return DeadlineExceeded("the deadline passed before the work was done; ask for fewer steps or allow more time")


def _cancelled(_: grpc.aio.AioRpcError) -> MeshError:
    return Cancelled("the request was cancelled")


def _overloaded(_: grpc.aio.AioRpcError) -> MeshError:
    return Overloaded(
        "the message exceeds the mesh's size limit, or a proxy is overloaded; send less or try again later"
    )


def _unexpected(error: grpc.aio.AioRpcError) -> MeshError:
    # A server killed in the middle of a stream arrives through Envoy as INTERNAL with RST_STREAM, not as UNAVAILABLE.
    if error.code() == grpc.StatusCode.INTERNAL and "RST_STREAM" in (error.details() or ""):
        return _unavailable(error)
    return InternalError("an unexpected error occurred inside the mesh; the log has the details")


_TRANSPORT = {
    grpc.StatusCode.UNAVAILABLE: _unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: _deadline,
    grpc.StatusCode.CANCELLED: _cancelled,
    grpc.StatusCode.RESOURCE_EXHAUSTED: _overloaded,
}
