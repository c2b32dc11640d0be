"""The client for programs of asyncio."""

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
    """A mesh, asked for many things at a time. An asynchronous context manager.

    Args:
        url: where the mesh is; left out: http://127.0.0.1:8080.
        key: of the API; None where the mesh asks for none.
        patience: with what may pass by itself.
        transport: in place of a plain one, for a proxy or certificates of one's own.
        sleep: waits so many seconds.
        clock: seconds, of which only differences count.
        chance: a number from 0 to 1, another one every time.

    Raises:
        ValueError: `url` is none of HTTP.

    Every method raises `Problem` for what the mesh refuses or fails at, and `NoAnswer` where nothing came back.
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
        """The mesh that CONTROLMESH_URL and CONTROLMESH_KEY name: `AsyncClient.from_environment(os.environ)`."""
        return cls(environ.get(wire.URL_VARIABLE) or None, environ.get(wire.KEY_VARIABLE) or None, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let the connections go."""
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
        """Pictures. A generation without a key of yours is stopped where this call is interrupted or its time is over.

        Args:
            prompt: what they show; left out only in guess mode.
            controls: what steers them.
            image: to start from.
            mask: white marks what to repaint of `image`.
            timeout_s: seconds for all of it.
            idempotency_key: under which the same request is the same generation; left out: a new one.
            options: `seed`, `steps` and whatever else the API's reference names; the mesh checks them.

        Raises:
            NotFinished: not within `timeout_s`.
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
        """A generation that goes on by itself; arguments as of `generate`."""
        asked = request(prompt, controls, image, mask, options)
        return AsyncJob(self, await self.run(self._procedures.submit(asked, idempotency_key)))

    async def job(self, id: str) -> "AsyncJob":
        """A generation of any time."""
        return AsyncJob(self, await self.run(self._procedures.job(id)))

    async def generations(self, **query: Any) -> GenerationList:
        """A page of your generations, the newest first; by `limit`, `after`, `status`, `created_after`."""
        return await self.run(self._procedures.generations(query))

    async def hint(
        self,
        kind: str,
        image: AnyPicture | None = None,
        *,
        mask: AnyPicture | None = None,
        **options: Unpack[HintOptions],
    ) -> Hint:
        """A hint without a picture of it; `image` may be left out beside `text`."""
        return await self.run(self._procedures.hint(Control(kind, image, mask=mask).body() | dict(options)))

    async def upload(self, picture: AnyPicture, *, name: str = "", expires_s: float | None = None) -> Asset:
        """Keep a picture, for `expires_s` seconds or until it is removed. The same one is the same asset."""
        return await self.run(self._procedures.upload(picture, name, expires_s))

    async def asset(self, id: str) -> Asset:
        """What the mesh keeps under `id`."""
        return await self.run(self._procedures.asset(id))

    async def assets(self, **query: Any) -> AssetList:
        """A page of your files, the newest first; by `limit`, `after`, `source`."""
        return await self.run(self._procedures.assets(query))

    async def download(self, asset: Asset | str) -> Picture:
        """The file of an asset, or of its id."""
        return await self.run(self._procedures.download(asset))

    async def remove(self, asset: Asset | str) -> None:
        """Remove a file."""
        await self.run(self._procedures.remove(asset))

    async def models(self) -> ModelList:
        """The loaded models and the one that is taken when a request names none."""
        return await self.run(self._procedures.models())

    async def controls(self, model: str | None = None) -> ControlList:
        """The control kinds: all, or those of a model."""
        return await self.run(self._procedures.controls(model))

    async def schedulers(self) -> SchedulerList:
        """The schedulers."""
        return await self.run(self._procedures.schedulers())

    async def styles(self) -> StyleList:
        """The styles that a prompt can be put into."""
        return await self.run(self._procedures.styles())

    async def play(self, course: wire.Course[T]) -> AsyncGenerator[Any, None]:
        """Bring a procedure to its end; gives what it tells of on the way."""
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
                    # It may want to say goodbye.
                    wanted = course.fail(error)
                else:
                    wanted = course.go(given)

    async def run(self, steps: Steps[T]) -> T:
        """What a procedure ends with."""
        course = wire.Course(steps)
        async for _ in self.play(course):
            pass
        return course.value


class AsyncJob:
    """A generation that goes on by itself. Iterating over it gives Progress until it has ended, however often the
    connection is cut on the way; `result` says how it ended.

    Args:
        client: that asks for it.
        following: the generation.
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
        """Of the generation."""
        return self.record["id"]

    @property
    def record(self) -> GenerationRecord:
        """What was heard of it last."""
        return self._following.record

    @property
    def status(self) -> str:
        """`queued`, `running`, `succeeded`, `failed` or `cancelled`, as was heard last."""
        return self.record["status"]

    async def refresh(self) -> GenerationRecord:
        """What the mesh knows of it now."""
        return await self._client.run(self._following.refresh())

    async def result(self, timeout_s: float | None = None) -> Generation:
        """Its pictures, once they are made. It goes on after NotFinished."""
        return await self._client.run(self._following.finish(timeout_s))

    async def cancel(self) -> None:
        """Stop it; one that has ended stays as it is."""
        await self._client.run(self._following.cancel())
