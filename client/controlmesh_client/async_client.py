"""The asynchronous client, for asyncio."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, Unpack

import httpx2

from controlmesh_client import wire
from controlmesh_client.calls import Calls
from controlmesh_client.controls import AnyControl, Control
from controlmesh_client.following import Following
from controlmesh_client.messages import Steps, T, Told
from controlmesh_client.options import GenerationOptions, HintOptions
from controlmesh_client.patience import Patience
from controlmesh_client.pictures import AnyPicture, Asset, Picture
from controlmesh_client.procedures import Procedures, request
from controlmesh_client.results import Generation, Hint, Progress
from controlmesh_client.schema import (
    AssetList,
    ControlList,
    GenerationList,
    GenerationRecord,
    ModelList,
    SchedulerList,
    StyleList,
)


class AsyncClient:
    """An asynchronous client of a mesh. An asynchronous context manager.

    Args:
        url: URL of the mesh; left out: http://127.0.0.1:8080.
        key: API key; None if the mesh requires none.
        patience: how temporary failures are retried.
        transport: an httpx transport, for a proxy or custom certificates.
        sleep: waits for a number of seconds.
        clock: monotonic time in seconds.
        chance: returns a random number from 0 to 1.

    Raises:
        ValueError: `url` is not an http(s) URL.

    Every method raises `Problem` if the mesh refuses or fails, and `NoAnswer` if there is no complete answer.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        patience: Patience | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._calls = Calls(url or wire.URL, key, patience or Patience(), clock, chance)
        self._procedures = Procedures(self._calls)
        self._sleep = sleep
        self._http = httpx2.AsyncClient(transport=transport, trust_env=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **options: Any) -> Self:
        """A client configured by CONTROLMESH_URL and CONTROLMESH_KEY: `AsyncClient.from_environment(os.environ)`."""
        return cls(environ.get(wire.URL_VARIABLE) or None, environ.get(wire.KEY_VARIABLE) or None, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def generate(
        self,
        prompt: str | None = None,
        controls: Sequence[AnyControl] = (),
        *,
        image: AnyPicture | None = None,
        mask: AnyPicture | None = None,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> Generation:
        """Make pictures. If the call is interrupted or times out, the generation is cancelled, unless it has an
        `idempotency_key` of yours.

        Args:
            prompt: what the pictures show; required except in guess mode.
            controls: the controls that steer them.
            image: the initial picture.
            mask: white marks what to repaint of `image`.
            timeout_s: timeout of the whole call in seconds.
            idempotency_key: repeating the request with it returns the same generation; left out: a new one.
            options: `seed`, `steps` and other fields of the API's reference; the mesh checks them.

        Raises:
            NotFinished: not finished within `timeout_s`.
        """
        asked = request(prompt, controls, image, mask, options)
        return await self.run(self._procedures.generate(asked, timeout_s, idempotency_key))

    async def submit(
        self,
        prompt: str | None = None,
        controls: Sequence[AnyControl] = (),
        *,
        image: AnyPicture | None = None,
        mask: AnyPicture | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> "AsyncJob":
        """Submit a generation without waiting for it; arguments as in `generate`."""
        asked = request(prompt, controls, image, mask, options)
        return AsyncJob(self, await self.run(self._procedures.submit(asked, idempotency_key)))

    async def job(self, id: str) -> "AsyncJob":
        """An existing generation."""
        return AsyncJob(self, await self.run(self._procedures.job(id)))

    async def generations(self, **query: Any) -> GenerationList:
        """A page of your generations, newest first; query: `limit`, `after`, `status`, `created_after`."""
        return await self.run(self._procedures.generations(query))

    async def hint(
        self,
        kind: str,
        image: AnyPicture | None = None,
        *,
        mask: AnyPicture | None = None,
        **options: Unpack[HintOptions],
    ) -> Hint:
        """Make a hint without a generation; `image` may be left out with `text`."""
        return await self.run(self._procedures.hint(Control(kind, image, mask=mask).body() | dict(options)))

    async def upload(self, picture: AnyPicture, *, name: str = "", expires_s: float | None = None) -> Asset:
        """Store a picture for `expires_s` seconds, or until it is removed. Repeating it returns the same asset."""
        return await self.run(self._procedures.upload(picture, name, expires_s))

    async def asset(self, id: str) -> Asset:
        """The stored file with this id."""
        return await self.run(self._procedures.asset(id))

    async def assets(self, **query: Any) -> AssetList:
        """A page of your files, newest first; query: `limit`, `after`, `source`."""
        return await self.run(self._procedures.assets(query))

    async def download(self, asset: Asset | str) -> Picture:
        """Download an asset, given it or its id."""
        return await self.run(self._procedures.download(asset))

    async def remove(self, asset: Asset | str) -> None:
        """Delete a file."""
        await self.run(self._procedures.remove(asset))

    async def models(self) -> ModelList:
        """The loaded models, and the default one for requests that name none."""
        return await self.run(self._procedures.models())

    async def controls(self, model: str | None = None) -> ControlList:
        """The control kinds: all, or those that a model supports."""
        return await self.run(self._procedures.controls(model))

    async def schedulers(self) -> SchedulerList:
        """The schedulers."""
        return await self.run(self._procedures.schedulers())

    async def styles(self) -> StyleList:
        """The styles for prompts."""
        return await self.run(self._procedures.styles())

    async def play(self, course: wire.Course[T]) -> AsyncGenerator[Any, None]:
        """Run a procedure to its end; yields its news."""
        async with wire.AsyncWire(self._http, self._sleep) as mesh:
            wanted = course.go()
            while wanted is not None:
                if isinstance(wanted, Told):
                    yield wanted.news
                    wanted = course.go()
                    continue
                try:
                    given = await mesh.do(wanted)
                except BaseException as error:
                    # The procedure may want to clean up.
                    wanted = course.fail(error)
                else:
                    wanted = course.go(given)

    async def run(self, steps: Steps[T]) -> T:
        """Run a procedure; returns its result."""
        course = wire.Course(steps)
        async for _ in self.play(course):
            pass
        return course.value


class AsyncJob:
    """A submitted generation. Iterating over it yields Progress until it has ended, across broken connections; `result`
    returns the pictures.

    Args:
        client: the client to use.
        following: the generation's state.
    """

    def __init__(self, client: AsyncClient, following: Following) -> None:
        self._client = client
        self._following = following

    async def __aiter__(self) -> AsyncIterator[Progress]:
        async with aclosing(self._client.play(wire.Course(self._following.watch()))) as told:
            async for progress in told:
                yield progress

    @property
    def id(self) -> str:
        """Id of the generation."""
        return self.record["id"]

    @property
    def record(self) -> GenerationRecord:
        """The last known record."""
        return self._following.record

    @property
    def status(self) -> str:
        """The last known status: `queued`, `running`, `succeeded`, `failed` or `cancelled`."""
        return self.record["status"]

    async def refresh(self) -> GenerationRecord:
        """Fetch the current record."""
        return await self._client.run(self._following.refresh())

    async def result(self, timeout_s: float | None = None) -> Generation:
        """Wait for its pictures. The generation continues after NotFinished."""
        return await self._client.run(self._following.finish(timeout_s))

    async def cancel(self) -> None:
        """Cancel it; a finished one is not changed."""
        await self._client.run(self._following.cancel())
