"""Idempotency keys: a request that is repeated with the same key returns the same job, from any process.

As in Stripe's API: the first request with a key counts, later equal ones get its answer, even if it failed, and
different ones are refused. A request that was not accepted (invalid, unauthorized, too many waiting) is not remembered.
A key is remembered as long as its job's record.
"""

import hashlib

import orjson

from gateway.generation.checks import wrong
from gateway.web.json_bodies import parse
from gateway.web.multipart import multipart

HEADER = "Idempotency-Key"
MOST_CHARACTERS = 255


def checked(key: str | None) -> str | None:
    """`key`, if it is valid; None for None.

    Raises:
        InvalidInput: empty, too long, or not printable ASCII.
    """
    if key is None:
        return None
    if not 0 < len(key) <= MOST_CHARACTERS or not key.isascii() or not key.isprintable():
        raise wrong(HEADER, f"1 to {MOST_CHARACTERS} printable ASCII characters", key)
    return key


def job_id(owner: str, dialect: str, key: str) -> str:
    """Id of the job for `key`, 32 hex digits, distinct for each owner and dialect."""
    return _digest(orjson.dumps([owner, dialect, key]))[:32]


def fingerprint(method: str, path: str, content_type: str, body: bytes) -> str:
    """A request's fingerprint, 64 hex digits, independent of the order of names in JSON and of multipart boundaries."""
    return _digest(orjson.dumps([method, path]), _canonical(content_type, body))


def _canonical(content_type: str, body: bytes) -> bytes:
    if content_type.lower().startswith("multipart/"):
        fields = multipart(content_type, body)
        plain = {name: _digest(value) if isinstance(value, bytes) else value for name, value in fields.items()}
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    try:
        return orjson.dumps(parse(body), option=orjson.OPT_SORT_KEYS)
    except ValueError:
        return body


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
