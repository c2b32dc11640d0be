"""Work that ends with its client."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from gateway.web.disconnect import while_connected
from mesh.errors import Cancelled, InvalidInput


class Client:
    """The receiving end of an ASGI connection; it stays until told to leave."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    @property
    def request(self) -> Request:
        return Request({"type": "http", "headers": []}, self.receive)


async def test_a_client_that_stays_gets_the_result() -> None:
    async def work() -> int:
        return 7

    assert await while_connected(Client().request, work()) == 7


async def test_the_error_of_the_work_is_the_works_own() -> None:
    async def work() -> int:
        raise InvalidInput("no")

    with pytest.raises(InvalidInput):
        await while_connected(Client().request, work())


async def test_a_client_that_leaves_takes_the_work_with_it() -> None:
    client, begun, stopped = Client(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    answer = asyncio.create_task(while_connected(client.request, work()))
    await begun.wait()
    client.left.set()
    with pytest.raises(Cancelled):
        await asyncio.wait_for(answer, 1)
    assert stopped.is_set()


async def test_nothing_is_left_running_when_the_handler_is_cancelled() -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    before = asyncio.all_tasks()
    answer = asyncio.create_task(while_connected(Client().request, work()))
    await begun.wait()
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    assert stopped.is_set() and asyncio.all_tasks() <= before
