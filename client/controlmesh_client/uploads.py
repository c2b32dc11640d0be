"""Pictures of requests: small ones are sent inline, large ones are uploaded once and referred to."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from controlmesh_client.calls import Calls
from controlmesh_client.messages import Steps, Work
from controlmesh_client.pictures import AnyPicture, Asset, data_url, read

INLINE_BYTES = 256 * 1024
"""Maximum size in bytes of a picture that is sent inline."""
KEPT_S = 24 * 3600
"""Expiry in seconds of pictures that are uploaded for requests."""
_FIELDS = ("image", "mask")


class Uploads:
    """The pictures that a client has uploaded for its requests.

    Args:
        calls: requests to the mesh.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: dict[str, tuple[str, float]] = {}

    def placed(self, body: Mapping[str, Any]) -> Steps[dict[str, Any]]:
        """A request or a control ready to be sent: its pictures, and those of its controls, as text."""
        sent = {name: value for name, value in body.items() if value is not None}
        for name in _FIELDS:
            if name in sent:
                sent[name] = yield from self._reference(sent[name])
        if "controls" in sent:
            sent["controls"] = yield from self._all(sent["controls"])
        return sent

    def forget(self, field: str, sent: Mapping[str, Any]) -> bool:
        """Forget the uploads in `sent` if the refusal of `field` may mean that one expired; returns whether any was."""
        if not field.endswith(_FIELDS):
            return False
        named = {part[name] for part in (sent, *sent.get("controls", ())) for name in _FIELDS if name in part}
        gone = [digest for digest, (reference, _) in self._known.items() if reference in named]
        for digest in gone:
            del self._known[digest]
        return bool(gone)

    def keep(self, picture: AnyPicture, name: str, expires_s: float | None) -> Steps[Asset]:
        """Upload a picture, in whatever form."""
        content = yield Work(partial(read, picture))
        return (yield from self._kept(content, name, expires_s))

    def _all(self, controls: list[Mapping[str, Any]]) -> Steps[list[dict[str, Any]]]:
        placed: list[dict[str, Any]] = []
        for control in controls:
            placed += [(yield from self.placed(control))]
        return placed

    def _reference(self, picture: AnyPicture) -> Steps[str]:
        content: str | bytes = picture if isinstance(picture, bytes) else (yield Work(partial(read, picture)))
        if isinstance(content, str):
            return content
        if len(content) <= INLINE_BYTES:
            return data_url(content)
        digest = hashlib.sha256(content).hexdigest()
        reference, end = self._known.get(digest, ("", 0.0))
        if not reference or self._calls.clock() >= end:
            # The expiry counts from the upload, and the request that refers to it must still arrive in time.
            end = self._calls.clock() + KEPT_S / 2
            reference = (yield from self._kept(content, "", KEPT_S)).reference
            self._known[digest] = reference, end
        return reference

    def _kept(self, content: str | bytes, name: str, expires_s: float | None) -> Steps[Asset]:
        known = {"name": name or None, "expires_s": expires_s}
        body = {"image": content if isinstance(content, str) else data_url(content), **known}
        record = yield from self._calls.json(self._calls.call("POST", "/assets", body=body, timeout_s=120))
        return Asset(record)
