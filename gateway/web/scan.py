"""What looks over a body as it arrives, by its type."""

from typing import Any, Protocol

from gateway.web.json_bodies import BYTE_ORDER_MARK, JsonScan
from gateway.web.multipart import MultipartScan
from gateway.web.urlencoded import URLENCODED, UrlencodedScan


class Scan(Protocol):
    """Looks over a body as it arrives. Nothing is built before `fields`."""

    @property
    def is_json(self) -> bool:
        """Whether the body is read as JSON, as far as is known."""

    @property
    def found(self) -> str | None:
        """The text of the field that is looked for, as far as it was read; of repeated ones that of the last."""

    @property
    def work(self) -> int:
        """What looking it over cost so far, beyond reading each byte once: in bytes that take as long."""

    def feed(self, chunk: bytes) -> None:
        """Look over the next bytes; Malformed if a bound is exceeded."""

    def finish(self) -> None:
        """Take note that the body is whole."""

    def fields(self, body: bytes) -> dict[str, Any]:
        """The fields of the whole body; Malformed."""


class FormOrJson:
    """Looks over a body whose type says form: some clients send JSON under it, which begins with a brace."""

    def __init__(self, wanted: str = "") -> None:
        self._wanted = wanted
        self._start = b""
        self._scan: Scan | None = None

    @property
    def is_json(self) -> bool:
        """As Scan.is_json."""
        return self._scan is not None and self._scan.is_json

    @property
    def found(self) -> str | None:
        """As Scan.found."""
        return self._scan.found if self._scan else None

    @property
    def work(self) -> int:
        """As Scan.work."""
        return self._scan.work if self._scan else 0

    def feed(self, chunk: bytes) -> None:
        """Look over the next bytes; Malformed."""
        if self._scan is not None:
            self._scan.feed(chunk)
            return
        self._start += chunk
        begun = self._start.removeprefix(BYTE_ORDER_MARK).lstrip()
        if begun and not BYTE_ORDER_MARK.startswith(self._start):
            self._scan = JsonScan(self._wanted) if begun.startswith(b"{") else UrlencodedScan(self._wanted)
            self._scan.feed(self._start)
        elif not begun and self._start != BYTE_ORDER_MARK:
            # One blank for all of them: they mean nothing in JSON, and make the name of a form's first field another.
            self._start = self._start[-1:]

    def finish(self) -> None:
        """Take note that the body is whole."""
        if self._scan is not None:
            self._scan.finish()

    def fields(self, body: bytes) -> dict[str, Any]:
        """The fields of the whole body; Malformed."""
        return (self._scan or UrlencodedScan(self._wanted)).fields(body)


def scan_of(content_type: str, wanted: str = "") -> Scan:
    """What looks over a body of this type: a form of either kind, else JSON.

    Raises:
        Malformed: a multipart form without a valid boundary.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return MultipartScan(content_type, wanted)
    return FormOrJson(wanted) if kind == URLENCODED else JsonScan(wanted)
