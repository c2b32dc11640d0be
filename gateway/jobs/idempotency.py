"""Idempotency keys: the same request under the same key is the same job, however often and wherever it is sent.

As Stripe does it: the first request under a key decides, later equal ones get its answer, be it a failure, and others
are refused. A request that was not taken (wrong, unauthorized, too many waiting) leaves nothing behind. A key is
remembered as long as its job's record.
"""

import hashlib

import orjson

from gateway.generation.checks import wrong
from gateway.web import bodies

HEADER = "Idempotency-Key"
MOST_CHARACTERS = 255


def checked(key: str | None) -> str | None:
    """`key` as it was sent; None for none.

    Raises:
        InvalidInput: empty, too long, or other characters than those of a header.
    """
    if key is None:
        return None
    if not 0 < len(key) <= MOST_CHARACTERS or not key.isascii() or not key.isprintable():
        raise wrong(HEADER, f"1 to {MOST_CHARACTERS} printable ASCII characters", key)
    return key


def job_id(owner: str, dialect: str, key: str) -> str:
    """32 hex digits of the job that stands under `key`: nobody else's, and no other dialect's."""
    return _digest(orjson.dumps([owner, dialect, key]))[:32]


def fingerprint(method: str, path: str, content_type: str, body: bytes) -> str:
    """64 hex digits of a request. The order of names in JSON and the boundaries of a form don't matter."""
    return _digest(orjson.dumps([method, path]), _canonical(content_type, body))


def _canonical(content_type: str, body: bytes) -> bytes:
    if content_type.lower().startswith("multipart/"):
        fields = bodies.multipart(content_type, body)
        plain = {name: _digest(value) if isinstance(value, bytes) else value for name, value in fields.items()}
        return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    except ValueError:
        return body


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
