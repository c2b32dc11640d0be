"""Follows a generation to its end: by its events, or by polling if there are none."""

import json
from collections.abc import Mapping
from typing import Any, cast

from controlmesh_client.calls import Calls, object_in, segment
from controlmesh_client.events import Event, EventReader
from controlmesh_client.messages import Answer, Cut, Listen, Opened, Pause, Read, Steps, Told
from controlmesh_client.pictures import Picture
from controlmesh_client.problems import Cancelled, NotFinished, problem
from controlmesh_client.results import GeneratedPicture, Generation, Progress
from controlmesh_client.schema import GenerationRecord

ENDS = frozenset({"succeeded", "failed", "cancelled"})
QUIET_S = 30.0
"""Seconds without any data, heartbeats included, after which a stream counts as broken."""
POLL_S = 1.0
RETRY_MS = 1000
"""Default pause in seconds before reconnecting to a broken stream."""
SILENT = 3
"""After so many streams without an event, polling is used: a proxy may be buffering them."""


class Following:
    """A generation and its last known record.

    Attributes:
        record: the last known record.

    Args:
        calls: requests to the mesh.
        record: the first value of `record`.
        sent: the request, if known, for its pictures, which records do not contain.
    """

    def __init__(self, calls: Calls, record: GenerationRecord, sent: Mapping[str, Any] | None = None) -> None:
        self.record = record
        self._calls = calls
        self._sent = sent or {}
        self._path = f"/generations/{segment(record['id'])}"

    @property
    def is_finished(self) -> bool:
        """Whether its last known status is final."""
        return self.record["status"] in ENDS

    def refresh(self) -> Steps[GenerationRecord]:
        """Fetch the current record. NotFound."""
        self.record = yield from self._calls.json(self._calls.call("GET", self._path))
        return self.record

    def cancel(self) -> Steps[None]:
        """Cancel it; a finished one is not changed."""
        self.record = yield from self._calls.json(self._calls.call("DELETE", self._path))

    def finish(self, timeout_s: float | None = None) -> Steps[Generation]:
        """Wait for its pictures.

        Raises:
            NotFinished: not finished within `timeout_s` seconds.
            Problem: it failed or was cancelled.
        """
        yield from self.watch(timeout_s)
        if self.record["status"] != "succeeded":
            # A generation that its own caller cancelled has no error in its record.
            usual = {"status": Cancelled.usual_status, "detail": f"generation {self.record['id']} was cancelled"}
            raise problem(cast(Mapping[str, Any], self.record["error"] or usual))
        request, notes = self._request(), tuple(self.record["notes"])
        pictures = []
        for image in self.record["images"]:
            url, seed, width, height = image["url"], image["seed"], image["width"], image["height"]
            file: Picture = yield from self._calls.file(url)
            same = {**request, "seed": seed, "samples": 1}
            pictures.append(GeneratedPicture(file.bytes, file.media_type, seed, width, height, url, notes, same))
        return Generation(tuple(pictures), self.record, request)

    def watch(self, timeout_s: float | None = None) -> Steps[None]:
        """Report progress until it has ended. NotFinished, Problem, NoAnswer."""
        until = None if timeout_s is None else self._calls.clock() + timeout_s
        seen, silent, tried = "", 0, 0
        while not self.is_finished and silent < SILENT:
            given: Opened | Answer | Cut = yield Listen(self._listening(seen, until))
            if isinstance(given, Answer) and given.status < 300:
                # No stream: the last event was already received, or streams are not available here.
                break
            if not isinstance(given, Opened):
                self._check(until)
                tried += 1
                yield from self._calls.pause(given, tried)
                continue
            reader = EventReader()
            try:
                heard = yield from self._heard(reader, until)
            except (ValueError, KeyError):
                break
            seen, tried = reader.last_id or seen, 0
            silent = 0 if heard else silent + 1
            if not self.is_finished:
                yield Pause((RETRY_MS if reader.retry_ms is None else reader.retry_ms) / 1000)
        while not self.is_finished:
            yield from self.refresh()
            yield Told(Progress.of_record(self.record))
            if not self.is_finished:
                self._check(until)
                yield Pause(POLL_S)

    def _heard(self, reader: EventReader, until: float | None) -> Steps[bool]:
        """Read the open stream to its end or the generation's; whether it had any event. ValueError, KeyError."""
        heard = False
        while not self.is_finished:
            self._check(until)
            piece: bytes | Cut = yield Read()
            if isinstance(piece, Cut) or not piece:
                break
            for event in reader.feed(piece):
                heard = True
                yield from self._take(event)
        return heard

    def _take(self, event: Event) -> Steps[None]:
        if event.kind == "progress":
            told = json.loads(event.data)
            progress = Progress.of_event(told)
            steps = {"step": progress.done, "steps": progress.of}
            self.record = cast(GenerationRecord, {**self.record, "status": progress.status, "progress": steps})
            yield Told(progress)
        elif event.kind == "result":
            self.record = object_in(Answer(200, content=event.data.encode()))
        elif event.kind == "error":
            yield from self.refresh()

    def _listening(self, seen: str, until: float | None) -> Any:
        headers = {"accept": "text/event-stream", **({"last-event-id": seen} if seen else {})}
        quiet_s = QUIET_S if until is None else min(QUIET_S, max(until - self._calls.clock(), 0.1))
        return self._calls.call("GET", f"{self._path}/events", headers=headers, timeout_s=quiet_s)

    def _check(self, until: float | None) -> None:
        if until is not None and self._calls.clock() >= until:
            raise NotFinished(self.record["id"], self.record["status"])

    def _request(self) -> dict[str, Any]:
        """The request that reproduces the result: the applied settings, and the pictures that were sent."""
        known = {**self.record["request"], **_pictures(self._sent)}
        sent = self._sent.get("controls", ())
        if len(sent) == len(known["controls"]):
            pairs = zip(known["controls"], sent, strict=True)
            known["controls"] = [{**control, **_pictures(body)} for control, body in pairs]
        return known


def _pictures(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("image", "mask") if name in body}
