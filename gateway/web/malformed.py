"""Bodies that are refused whatever the dialect, each with the HTTP status of its refusal."""

from mesh.errors import InvalidInput


class Malformed(InvalidInput):
    """The body can't be parsed, whatever the dialect; `status` is the HTTP status."""

    status = 400


class BodyTooLarge(Malformed):
    """The body is larger than this gateway accepts."""

    status = 413


class BodyCompressed(Malformed):
    """The body is compressed, and may be a decompression bomb."""

    status = 415


class BodyTooSlow(Malformed):
    """The body came without a known key, and too slowly."""

    status = 408
