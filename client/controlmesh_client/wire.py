"""Drives procedures over HTTP, synchronously or asynchronously."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Self

import httpx2

from controlmesh_client.messages import Answer, Call, Cut, Listen, Opened, Pause, Read, Send, Steps, T, Wanted, Work

URL = "http://127.0.0.1:8080"
"""Default URL: a mesh on this machine."""
URL_VARIABLE, KEY_VARIABLE = "CONTROLMESH_URL", "CONTROLMESH_KEY"
_CONNECT_S = 10.0
_EVENTS = "text/event-stream"


class Course(Generic[T]):
    """A running procedure.

    Attributes:
        value: its result, once it has ended.
    """

    value: T

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps

    def go(self, given: Any = None) -> Wanted | None:
        """Resume it with `given`; returns what it wants next, None at its end."""
        return self._ended(lambda: self._steps.send(given))

    def fail(self, error: BaseException) -> Wanted | None:
        """Resume it with an error; returns what it wants next, or raises the error if the procedure ends."""
        return self._ended(lambda: self._steps.throw(error))

    def _ended(self, move: Callable[[], Wanted]) -> Wanted | None:
        try:
            return move()
        except StopIteration as end:
            self.value = end.value
            return None


class Wire:
    """Executes requests synchronously. A context manager, which closes the open stream.

    Args:
        http: sends.
        sleep: waits for a number of seconds.
    """

    def __init__(self, http: httpx2.Client, sleep: Callable[[float], None]) -> None:
        self._http = http
        self._sleep = sleep
        self._stream: httpx2.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_stream()

    def do(self, wanted: Wanted) -> Any:
        """Execute `wanted`; returns its result."""
        try:
            match wanted:
                case Send(call):
                    return _answer(self._http.send(_request(self._http, call), follow_redirects=call.follows))
                case Listen(call):
                    return self._listen(call)
                case Read():
                    return next(self._pieces, b"")
                case Pause(seconds):
                    return self._sleep(seconds)
                case Work(act):
                    return act()
        except httpx2.RequestError as error:
            return _cut(error)

    def _listen(self, call: Call) -> Opened | Answer:
        self._end_stream()
        self._stream = response = self._http.send(_request(self._http, call), stream=True)
        if _is_stream(response):
            self._pieces = response.iter_bytes()
            return Opened()
        response.read()
        return _answer(response)

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class AsyncWire:
    """Executes requests asynchronously. An asynchronous context manager, which closes the open stream.

    Args:
        http: sends.
        sleep: waits for a number of seconds.
    """

    def __init__(self, http: httpx2.AsyncClient, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._http = http
        self._sleep = sleep
        self._stream: httpx2.Response | None = None
        self._pieces: AsyncIterator[bytes]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._end_stream()

    async def do(self, wanted: Wanted) -> Any:
        """Execute `wanted`; returns its result."""
        try:
            match wanted:
                case Send(call):
                    return _answer(await self._http.send(_request(self._http, call), follow_redirects=call.follows))
                case Listen(call):
                    return await self._listen(call)
                case Read():
                    return await anext(self._pieces, b"")
                case Pause(seconds):
                    return await self._sleep(seconds)
                case Work(act):
                    return await asyncio.to_thread(act)
        except httpx2.RequestError as error:
            return _cut(error)

    async def _listen(self, call: Call) -> Opened | Answer:
        await self._end_stream()
        self._stream = response = await self._http.send(_request(self._http, call), stream=True)
        if _is_stream(response):
            self._pieces = response.aiter_bytes()
            return Opened()
        await response.aread()
        return _answer(response)

    async def _end_stream(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
            self._stream = None


def _request(http: httpx2.Client | httpx2.AsyncClient, call: Call) -> httpx2.Request:
    timeout = httpx2.Timeout(call.timeout_s, connect=min(_CONNECT_S, call.timeout_s))
    return http.build_request(
        call.method, call.url, headers=dict(call.headers), content=call.content or None, timeout=timeout
    )


def _answer(response: httpx2.Response) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, response.content)


def _is_stream(response: httpx2.Response) -> bool:
    return response.status_code == 200 and str(response.headers.get("content-type", "")).startswith(_EVENTS)


def _cut(error: httpx2.RequestError) -> Cut:
    return Cut(f"{type(error).__name__}: {error}".removesuffix(": "))
