"""The one tree of errors. An error is raised where it is known, translated once, and phrased by each dialect.

Messages are for the caller: they say what was wrong and what to change, and never hold a path, an address, a trace or
another server's words.
"""

import grpc

FIELD_METADATA = "controlmesh-field"
RETRY_METADATA = "retry-after-s"


class MeshError(Exception):
    """Base of every error that a caller may see.

    Args:
        message: one English sentence or two for the caller.
        field: name of the request's field that is at fault, if one is.
        retry_after_s: seconds after which the same request may succeed, if it may.
    """

    code = grpc.StatusCode.INTERNAL

    def __init__(self, message: str, *, field: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s


class InternalError(MeshError):
    """A fault of ours; the caller can only report it."""


class InvalidInput(MeshError):
    """The request can't be served as it is written; `field` names the part to change."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(MeshError):
    """The named thing does not exist, or is not the caller's."""

    code = grpc.StatusCode.NOT_FOUND


class Conflict(MeshError):
    """The request contradicts one that was made before, under the same name."""

    code = grpc.StatusCode.ALREADY_EXISTS


class Unauthenticated(MeshError):
    """The caller's key is missing or unknown."""

    code = grpc.StatusCode.UNAUTHENTICATED


class Forbidden(MeshError):
    """The caller is known and may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class NotEnabled(MeshError):
    """The feature exists in the contract and is not available in this deployment."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Overloaded(MeshError):
    """A bound was reached; try again later."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(MeshError):
    """A part of the mesh does not answer; try again later."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(MeshError):
    """The caller's deadline passed before the work was done."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(MeshError):
    """The caller took the request back."""

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
    """The MeshError that `error` stands for: ours if another room sent it, a plain one if the transport failed."""
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


def unexpected(request_id: str = "") -> InternalError:
    """The error for what nobody foresaw; the log has it, under the id of the request if there is one."""
    where = f"the log has it under request id {request_id}" if request_id else "the log has the details"
    return InternalError(f"an unexpected error happened; {where}")


def _unavailable(_: grpc.aio.AioRpcError) -> MeshError:
    return Unavailable("a part of the mesh does not answer; try again in a few seconds", retry_after_s=2)


def _deadline(_: grpc.aio.AioRpcError) -> MeshError:
    return DeadlineExceeded("the deadline passed before the work was done; ask for fewer steps or allow more time")


def _cancelled(_: grpc.aio.AioRpcError) -> MeshError:
    return Cancelled("the request was cancelled")


def _overloaded(_: grpc.aio.AioRpcError) -> MeshError:
    return Overloaded("the message is larger than the mesh takes, or a proxy is full; send less or try again later")


def _unexpected(error: grpc.aio.AioRpcError) -> MeshError:
    # A server killed in the middle of a stream arrives through Envoy as INTERNAL with RST_STREAM, not as UNAVAILABLE.
    if error.code() == grpc.StatusCode.INTERNAL and "RST_STREAM" in (error.details() or ""):
        return _unavailable(error)
    return InternalError("an unexpected error happened inside the mesh; its log has the details")


_TRANSPORT = {
    grpc.StatusCode.UNAVAILABLE: _unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: _deadline,
    grpc.StatusCode.CANCELLED: _cancelled,
    grpc.StatusCode.RESOURCE_EXHAUSTED: _overloaded,
}
