"""A TCP proxy in front of a Unix socket that a test can pause: connections stay, and nothing passes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Partition:
    """Passes everything to the Unix socket at `path` while `open` is set.

    Attributes:
        port: that it listens on.
    """

    def __init__(self, path: str) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.port = 0
        self._path = path
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.open.wait()
        there, back = await asyncio.open_unix_connection(self._path)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while some := await source.read(65_536):
                await self.open.wait()
                sink.write(some)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def partition(path: str) -> AsyncIterator[Partition]:
    """A proxy in front of that socket."""
    between = Partition(path)
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    between.port = server.sockets[0].getsockname()[1]
    try:
        yield between
    finally:
        server.close()
        between.close()
