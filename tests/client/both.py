"""Either client behind one face, so that one test is written for both."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from controlmesh_client import AsyncClient, AsyncJob, Client, Job, Patience, Progress

KINDS = ("Client", "AsyncClient")


class Both:
    """A client whose methods are awaited: one that waits does so in a thread. An asynchronous context manager.

    Attributes:
        pauses: seconds that it would have waited; in a test no time goes by.

    Args:
        kind: one of KINDS.
        url: of the mesh.
        key: of the API.
        options: of the client.
    """

    def __init__(self, kind: str, url: str, key: str | None = None, **options: Any) -> None:
        self.pauses: list[float] = []
        options = {"patience": Patience(first_s=1.0), "chance": lambda: 1.0, **options}
        self.client: Client | AsyncClient
        if kind == "Client":
            self.client = Client(url, key, sleep=self.pauses.append, **options)
        else:
            self.client = AsyncClient(url, key, sleep=self._sleep, **options)

    async def __aenter__(self) -> "Both":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ask("close")

    async def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """What a method of the client gives."""
        return await called(self.client, method, *arguments, **options)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


async def called(of: Client | AsyncClient | Job | AsyncJob, method: str, *arguments: Any, **options: Any) -> Any:
    """What a method gives."""
    if isinstance(of, AsyncClient | AsyncJob):
        return await getattr(of, method)(*arguments, **options)
    return await asyncio.to_thread(getattr(of, method), *arguments, **options)


async def followed(job: Job | AsyncJob) -> AsyncIterator[Progress]:
    """The progress of a job."""
    if isinstance(job, AsyncJob):
        async for progress in job:
            yield progress
        return
    steps = iter(job)
    while (step := await asyncio.to_thread(next, steps, None)) is not None:
        yield step
