"""Processes with an engine of jobs, to be told, asked, stopped and killed."""

import asyncio
import json
import multiprocessing
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.rigs import job_worker

# Forked from a process that has imported everything: a start takes no second and a half of imports.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([job_worker.__name__])
PATIENCE_S = 60


class Worker:
    """One such process; see tests/rigs/job_worker.py for what is said.

    Attributes:
        said: every line so far.
    """

    def __init__(self, process: BaseProcess, lines: asyncio.StreamReader, asking: asyncio.StreamWriter) -> None:
        self._process = process
        self._lines = lines
        self._asking = asking
        self.said: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for line in self._lines:
            # The logs go the same way.
            with suppress(json.JSONDecodeError):
                said = json.loads(line)
                if isinstance(said, dict):
                    self.said.append(said)
            async with self._news:
                self._news.notify_all()

    async def hear(self, name: str, value: Any = None, times: int = 1) -> dict[str, Any]:
        """Wait until it has said `name` (with `value`) so often; the last such line."""

        def heard() -> list[dict[str, Any]]:
            return [line for line in self.said if name in line and value in (None, line[name])]

        await self.until(lambda: len(heard()) >= times)
        return heard()[times - 1]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until that holds of what it has said."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(holds)

    def count(self, name: str, value: Any = None) -> int:
        """How often it has said so."""
        return sum(name in line and value in (None, line[name]) for line in self.said)

    def tell(self, **line: Any) -> None:
        self._asking.write(json.dumps(line).encode() + b"\n")

    async def submit(self, prompt: str, **order: Any) -> str:
        """Submit a job; its id."""
        before = self.count("submitted")
        self.tell(submit=prompt, **order)
        return str((await self.hear("submitted", times=before + 1))["submitted"])

    async def outcome(self, id: str) -> dict[str, Any]:
        """The final record of a job, as it is seen from here."""
        self.tell(wait=id)
        return await self.hear("done", id)

    async def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        await asyncio.to_thread(self._process.join)
        # What it had not read breaks the connection, after everything that it said.
        with suppress(ConnectionResetError):
            await self._reading
        self._asking.close()

    def freeze(self) -> None:
        """Let it stand still, and not notice."""
        os.kill(self._pid(), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._pid(), signal.SIGCONT)

    def _pid(self) -> int:
        assert self._process.pid
        return self._process.pid


@asynccontextmanager
async def worker(url: str, folder: Path, manner: str, places: int = 4) -> AsyncIterator[Worker]:
    """A process that has opened the records at `url`; killed at the end, if it still lives."""
    ours, its = socket.socketpair()
    process = FORKS.Process(target=job_worker.run, args=(its, url, str(folder), manner, str(places)))
    await asyncio.to_thread(process.start)
    its.close()
    started = Worker(process, *await asyncio.open_unix_connection(sock=ours))
    try:
        await started.hear("open")
        yield started
    finally:
        if process.is_alive():
            await started.kill()
