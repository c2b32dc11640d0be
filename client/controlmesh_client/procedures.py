"""The client's operations as procedures, which both clients run."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from controlmesh_client.calls import KEY_HEADER, Calls, object_in, segment
from controlmesh_client.controls import AnyControl, body_of
from controlmesh_client.following import Following
from controlmesh_client.messages import Answer, Call, Cut, Send, Steps
from controlmesh_client.pictures import AnyPicture, Asset, Picture
from controlmesh_client.problems import Invalid, NotFinished
from controlmesh_client.results import Generation, Hint
from controlmesh_client.schema import AssetList, ControlList, GenerationList, ModelList, SchedulerList, StyleList
from controlmesh_client.uploads import Uploads

HOLD_S = 60
"""Seconds for which the mesh is asked to hold an answer; after that its events are followed."""
_GOODBYE_S = 5.0
# Raised when a caller stops waiting. GeneratorExit is not among them: a closed procedure can send nothing more.
_LEFT = (KeyboardInterrupt, asyncio.CancelledError, NotFinished)


class Procedures:
    """The operations on a mesh.

    Args:
        calls: requests to it.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._uploads = Uploads(calls)

    def generate(self, asked: Mapping[str, Any], timeout_s: float | None, key: str | None) -> Steps[Generation]:
        """Make pictures; if the caller stops waiting and has no key of its own, the generation is cancelled.

        Args:
            asked: the request, pictures in any form.
            timeout_s: timeout of the whole call in seconds; None: unlimited.
            key: idempotency key; None for a new one.

        Raises:
            NotFinished: not finished in time.
            Problem: refused, failed or cancelled.
            NoAnswer: no complete answer.
        """
        until = None if timeout_s is None else self._calls.clock() + timeout_s
        own_key = key or str(uuid4())
        body = yield from self._uploads.placed(asked)
        hold_s = HOLD_S if timeout_s is None else max(1, min(HOLD_S, round(timeout_s)))
        try:
            following = yield from self._created(asked, body, hold_s, own_key, until)
            left = None if until is None else until - self._calls.clock()
            return (yield from following.finish(left))
        except _LEFT:
            if key is None:
                yield from self._let_go(self._creating(body, 0, own_key))
            raise

    def submit(self, asked: Mapping[str, Any], key: str | None) -> Steps[Following]:
        """Submit a generation. Problem, NoAnswer."""
        body = yield from self._uploads.placed(asked)
        return (yield from self._created(asked, body, 0, key or str(uuid4()), None))

    def job(self, id: str) -> Steps[Following]:
        """An existing generation. NotFound."""
        record = yield from self._calls.json(self._calls.call("GET", f"/generations/{segment(id)}"))
        return Following(self._calls, record)

    def hint(self, asked: Mapping[str, Any]) -> Steps[Hint]:
        """Make a hint. Problem, NoAnswer."""
        headers = {KEY_HEADER: str(uuid4())}

        def making(body: Mapping[str, Any]) -> Call:
            return self._calls.call("POST", "/hints", body=body, headers=headers, timeout_s=120)

        body = yield from self._uploads.placed(asked)
        return Hint.of((yield from self._sent(asked, body, making)))

    def upload(self, picture: AnyPicture, name: str, expires_s: float | None) -> Steps[Asset]:
        """Store a picture."""
        return (yield from self._uploads.keep(picture, name, expires_s))

    def asset(self, id: str) -> Steps[Asset]:
        """The stored file with this id. NotFound."""
        return Asset((yield from self._calls.listed(f"/assets/{segment(id)}/record")))

    def download(self, asset: Asset | str) -> Steps[Picture]:
        """Download an asset, given it or its id."""
        found = (yield from self.asset(asset)) if isinstance(asset, str) else asset
        return (yield from self._calls.file(found.record["url"]))

    def remove(self, asset: Asset | str) -> Steps[None]:
        """Delete a file. NotFound."""
        id = asset if isinstance(asset, str) else asset.id
        yield from self._calls.asked(self._calls.call("DELETE", f"/assets/{segment(id)}"))

    def generations(self, query: Mapping[str, Any]) -> Steps[GenerationList]:
        """A page of them."""
        return self._calls.listed("/generations", query)

    def assets(self, query: Mapping[str, Any]) -> Steps[AssetList]:
        """A page of them."""
        return self._calls.listed("/assets", query)

    def models(self) -> Steps[ModelList]:
        """All of them."""
        return self._calls.listed("/models")

    def controls(self, model: str | None) -> Steps[ControlList]:
        """The kinds: all, or a model's."""
        return self._calls.listed("/controls", {"model": model})

    def schedulers(self) -> Steps[SchedulerList]:
        """All of them."""
        return self._calls.listed("/schedulers")

    def styles(self) -> Steps[StyleList]:
        """All of them."""
        return self._calls.listed("/styles")

    def _created(
        self, asked: Mapping[str, Any], body: dict[str, Any], hold_s: int, key: str, until: float | None
    ) -> Steps[Following]:
        """The generation of `body`, which is what `asked` became."""
        record = yield from self._sent(asked, body, lambda body: self._creating(body, hold_s, key), until)
        return Following(self._calls, record, body)

    def _sent(
        self,
        asked: Mapping[str, Any],
        body: dict[str, Any],
        making: Callable[[Mapping[str, Any]], Call],
        until: float | None = None,
    ) -> Steps[Any]:
        """The answer to the call that `making` builds from `body`. If an uploaded picture no longer exists, it is
        uploaded again, and `body` is updated."""
        try:
            return (yield from self._calls.json(making(body), until))
        except Invalid as error:
            if not self._uploads.forget(error.field, body):
                raise
        body |= yield from self._uploads.placed(asked)
        return (yield from self._calls.json(making(body), until))

    def _creating(self, body: Mapping[str, Any], hold_s: int, key: str) -> Call:
        headers, query = {KEY_HEADER: key}, {"wait": hold_s}
        return self._calls.call(
            "POST", "/generations", query=query, body=body, headers=headers, timeout_s=hold_s + 30.0
        )

    def _let_go(self, creating: Call) -> Steps[None]:
        """Cancel the generation that `creating` requested: its idempotency key would let it go on."""
        given: Answer | Cut = yield Send(replace(creating, timeout_s=_GOODBYE_S))
        if isinstance(given, Answer) and given.status < 300:
            place = f"/generations/{segment(object_in(given)['id'])}"
            yield Send(replace(self._calls.call("DELETE", place), timeout_s=_GOODBYE_S))


def request(
    prompt: str | None,
    controls: Sequence[AnyControl],
    image: AnyPicture | None,
    mask: AnyPicture | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The JSON of a request for pictures, with pictures still in the form in which they were given."""
    return {"prompt": prompt, "controls": [body_of(one) for one in controls], "image": image, "mask": mask, **options}
