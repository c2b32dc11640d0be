"""Parses Authorization headers: a Bearer token, or Basic's user name and password."""

import binascii

import pybase64


def bearer(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer` header, or None."""
    return _credentials(authorization, "bearer")


def basic(authorization: str | None) -> tuple[str, str] | None:
    """User and password of an `Authorization: Basic` header (RFC 7617, UTF-8), or None."""
    encoded = _credentials(authorization, "basic")
    try:
        user, colon, password = pybase64.b64decode(encoded or "", validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def _credentials(authorization: str | None, wanted: str) -> str | None:
    scheme, _, rest = (authorization or "").strip().partition(" ")
    return rest.strip() or None if scheme.lower() == wanted else None
