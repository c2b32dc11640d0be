"""Bodies that are refused whatever the dialect, each with the HTTP status of its refusal."""

from mesh.errors import InvalidInput


class Malformed(InvalidInput):
    """The body can't be parsed, whatever the dialect; `status` is the HTTP status."""

    status = 400


class NoRoute(Malformed):
    """The path does not exist, or takes other methods.

    Args:
        message: as in MeshError.
        status: 404 or 405.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class BodyTooLarge(Malformed):
    """The body is larger than this gateway accepts."""

    status = 413


class BodyCompressed(Malformed):
    """The body is compressed, and may be a decompression bomb."""

    status = 415


class BodyTooSlow(Malformed):
    """The body came without a known key, and too slowly."""

    status = 408
