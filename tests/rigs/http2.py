"""HTTP/2 as an attacker speaks it: frames that no client library would send, and what is said about them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from hpack import Encoder
from hyperframe.frame import Frame, HeadersFrame, RstStreamFrame, SettingsFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MOST_OF_A_FRAME = 16_384


@dataclass
class Attacker:
    """One connection.

    Attributes:
        resets: stream -> error code with which it was reset.
        answered: streams with the head of an answer.
        closed: set when the other side has closed the connection.
    """

    writer: asyncio.StreamWriter
    encoder: Encoder = field(default_factory=Encoder)
    resets: dict[int, int] = field(default_factory=dict)
    answered: set[int] = field(default_factory=set)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Condition = field(default_factory=asyncio.Condition, repr=False)

    def head(self, path: str, method: str = "GET", extra: Iterable[tuple[str, str]] = ()) -> bytes:
        """The header block of a request."""
        own = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "x")]
        return bytes(self.encoder.encode([*own, *extra]))

    def open(self, stream: int, block: bytes, *, whole: bool = True, ended: bool = True) -> bytes:
        """A HEADERS frame; not `whole`: CONTINUATION is to follow; not `ended`: a body is."""
        frame = HeadersFrame(stream, block)
        frame.flags |= {name for name, said in (("END_HEADERS", whole), ("END_STREAM", ended)) if said}
        return bytes(frame.serialize())

    async def send(self, content: bytes) -> bool:
        """Send it; False once the other side has closed the connection."""
        if self.closed.is_set():
            return False
        self.writer.write(content)
        with suppress(ConnectionError):
            await self.writer.drain()
            return True
        return False

    async def flood(self, pieces: Iterable[bytes]) -> int:
        """Send as many of the pieces as the other side bears; how many those were."""
        sent = 0
        for piece in pieces:
            if not await self.send(piece):
                break
            sent += 1
            # Its answers are read meanwhile.
            await asyncio.sleep(0)
        return sent

    async def until(self, holds: Callable[[], bool], seconds: float = 15.0) -> None:
        """Wait until that holds of what the other side has said."""
        async with asyncio.timeout(seconds), self.news:
            await self.news.wait_for(holds)

    async def listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                frame, length = Frame.parse_frame_header(memoryview(await reader.readexactly(9)))
                body = await reader.readexactly(length)
                if isinstance(frame, RstStreamFrame):
                    frame.parse_body(memoryview(body))
                    self.resets[frame.stream_id] = frame.error_code
                elif isinstance(frame, HeadersFrame):
                    self.answered.add(frame.stream_id)
                await self._tell()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed.set()
            await self._tell()

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()


@asynccontextmanager
async def attacking(port: int) -> AsyncIterator[Attacker]:
    """A connection that has begun as it should."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    attacker = Attacker(writer)
    listening = asyncio.create_task(attacker.listen(reader))
    try:
        await attacker.send(PREFACE + SettingsFrame().serialize())
        yield attacker
    finally:
        listening.cancel()
        writer.transport.abort()
