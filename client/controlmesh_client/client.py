"""The synchronous client."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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


class Client:
    """A synchronous client of a mesh; several threads may share it. A context manager.

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
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._calls = Calls(url or wire.URL, key, patience or Patience(), clock, chance)
        self._procedures = Procedures(self._calls)
        self._sleep = sleep
        self._http = httpx2.Client(transport=transport, trust_env=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **options: Any) -> Self:
        """A client configured by CONTROLMESH_URL and CONTROLMESH_KEY: `Client.from_environment(os.environ)`."""
        return cls(environ.get(wire.URL_VARIABLE) or None, environ.get(wire.KEY_VARIABLE) or None, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def generate(
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
        return self.run(self._procedures.generate(asked, timeout_s, idempotency_key))

    def submit(
        self,
        prompt: str | None = None,
        controls: Sequence[AnyControl] = (),
        *,
        image: AnyPicture | None = None,
        mask: AnyPicture | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> "Job":
        """Submit a generation without waiting for it; arguments as in `generate`."""
        asked = request(prompt, controls, image, mask, options)
        return Job(self, self.run(self._procedures.submit(asked, idempotency_key)))

    def job(self, id: str) -> "Job":
        """An existing generation."""
        return Job(self, self.run(self._procedures.job(id)))

    def generations(self, **query: Any) -> GenerationList:
        """A page of your generations, newest first; query: `limit`, `after`, `status`, `created_after`."""
        return self.run(self._procedures.generations(query))

    def hint(
        self,
        kind: str,
        image: AnyPicture | None = None,
        *,
        mask: AnyPicture | None = None,
        **options: Unpack[HintOptions],
    ) -> Hint:
        """Make a hint without a generation; `image` may be left out with `text`."""
        return self.run(self._procedures.hint(Control(kind, image, mask=mask).body() | dict(options)))

    def upload(self, picture: AnyPicture, *, name: str = "", expires_s: float | None = None) -> Asset:
        """Store a picture for `expires_s` seconds, or until it is removed. Repeating it returns the same asset."""
        return self.run(self._procedures.upload(picture, name, expires_s))

    def asset(self, id: str) -> Asset:
        """The stored file with this id."""
        return self.run(self._procedures.asset(id))

    def assets(self, **query: Any) -> AssetList:
        """A page of your files, newest first; query: `limit`, `after`, `source`."""
        return self.run(self._procedures.assets(query))

    def download(self, asset: Asset | str) -> Picture:
        """Download an asset, given it or its id."""
        return self.run(self._procedures.download(asset))

    def remove(self, asset: Asset | str) -> None:
        """Delete a file."""
        self.run(self._procedures.remove(asset))

    def models(self) -> ModelList:
        """The loaded models, and the default one for requests that name none."""
        return self.run(self._procedures.models())

    def controls(self, model: str | None = None) -> ControlList:
        """The control kinds: all, or those that a model supports."""
        return self.run(self._procedures.controls(model))

    def schedulers(self) -> SchedulerList:
        """The schedulers."""
        return self.run(self._procedures.schedulers())

    def styles(self) -> StyleList:
        """The styles for prompts."""
        return self.run(self._procedures.styles())

    def play(self, course: wire.Course[T]) -> Iterator[Any]:
        """Run a procedure to its end; yields its news."""
        with wire.Wire(self._http, self._sleep) as mesh:
            wanted = course.go()
            while wanted is not None:
                if isinstance(wanted, Told):
                    yield wanted.news
                    wanted = course.go()
                    continue
                try:
                    given = mesh.do(wanted)
                except BaseException as error:
                    # The procedure may want to clean up.
                    wanted = course.fail(error)
                else:
                    wanted = course.go(given)

    def run(self, steps: Steps[T]) -> T:
        """Run a procedure; returns its result."""
        course = wire.Course(steps)
        for _ in self.play(course):
            pass
        return course.value


class Job:
    """A submitted generation. Iterating over it yields Progress until it has ended, across broken connections; `result`
    returns the pictures.

    Args:
        client: the client to use.
        following: the generation's state.
    """

    def __init__(self, client: Client, following: Following) -> None:
        self._client = client
        self._following = following

    def __iter__(self) -> Iterator[Progress]:
        yield from self._client.play(wire.Course(self._following.watch()))

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

    def refresh(self) -> GenerationRecord:
        """Fetch the current record."""
        return self._client.run(self._following.refresh())

    def result(self, timeout_s: float | None = None) -> Generation:
        """Wait for its pictures. The generation continues after NotFinished."""
        return self._client.run(self._following.finish(timeout_s))

    def cancel(self) -> None:
        """Cancel it; a finished one is not changed."""
        self._client.run(self._following.cancel())
