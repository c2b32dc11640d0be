"""A road to a server on which connections are cut or answered by somebody else."""

import asyncio
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class CutAfter:
    """The answers of a connection end with the first `words` in them."""

    words: bytes


@dataclass(frozen=True)
class Instead:
    """The server never hears of the first request of a connection: this is answered, then it is closed."""

    status: int
    headers: str = ""
    body: bytes = b""


@dataclass
class Road:
    """Forwards connections to a server. An asynchronous context manager; `url` is known inside.

    Attributes:
        to: URL of the server.
        plans: what happens to the connections to come, in turn; None for nothing, as for those after them.
        asked: heads of the requests, in the order they came.
    """

    to: str
    plans: list[CutAfter | Instead | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> "Road":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def keys(self) -> list[str]:
        """The idempotency keys that were sent."""
        return [key for head in self.asked for key in re.findall(r"(?im)^idempotency-key: (\S+)", head)]

    async def hang_up(self) -> None:
        """Close the connections that are open."""
        for writer in tuple(self._open):
            writer.close()
            await writer.wait_closed()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plan = self.plans.pop(0) if self.plans else None
        if isinstance(plan, Instead):
            await self._request(reader)
            head = f"HTTP/1.1 {plan.status} -\r\nContent-Length: {len(plan.body)}\r\nConnection: close\r\n"
            writer.write(f"{head}{plan.headers}\r\n".encode() + plan.body)
            await writer.drain()
            writer.close()
            return
        self._open.add(writer)
        place = urlsplit(self.to)
        back, forth = await asyncio.open_connection(place.hostname, place.port)
        requests = asyncio.create_task(self._requests(reader, forth))
        try:
            await self._answers(back, writer, plan)
        finally:
            requests.cancel()
            forth.close()
            writer.close()
            self._open.discard(writer)

    async def _requests(self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
        while request := await self._request(reader):
            forth.write(request)
            await forth.drain()
        forth.close()

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.asked.append(head.decode())
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return head + (await reader.readexactly(int(length[1])) if length else b"")

    async def _answers(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter, plan: CutAfter | None) -> None:
        told = b""
        while piece := await back.read(65536):
            told += piece
            if plan is not None and plan.words in told:
                over = len(told) - told.index(plan.words) - len(plan.words)
                writer.write(piece[: len(piece) - over])
                await writer.drain()
                return
            writer.write(piece)
            await writer.drain()
