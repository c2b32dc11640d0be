"""Processes with an engine of jobs, to be told, asked, stopped and killed."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import psutil

WORKER = Path(__file__).resolve().parent / "job_worker.py"
PATIENCE_S = 60


class Worker:
    """One such process; see tests/rigs/job_worker.py for what is said.

    Attributes:
        said: every line so far.
    """

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self._url = url
        self.said: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
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
        assert self._process.stdin
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

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
        await self._process.wait()
        await self._reading

    async def freeze(self) -> None:
        """Let it stand still, and not notice: between two transactions, since a file that it holds locked stays so."""
        while not await asyncio.to_thread(_stopped, self._process.pid, self._url):
            self.thaw()

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)


def _stopped(pid: int, url: str) -> bool:
    """Stop a process; whether it holds no lock now."""
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.001)
    return not _is_locked(url)


def _is_locked(url: str) -> bool:
    """Whether somebody writes into a database in a file at the moment; no other kind of database is ever locked."""
    prefix, _, path = url.partition(":///")
    if prefix != "sqlite":
        return False
    for file in Path(path).parent.glob("*.db"):
        with closing(sqlite3.connect(file, timeout=0)) as records:
            try:
                records.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
    return False


@asynccontextmanager
async def worker(url: str, folder: Path, manner: str, places: int = 4) -> AsyncIterator[Worker]:
    """A process that has opened the records at `url`; killed at the end, if it still lives."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(WORKER),
        url,
        str(folder),
        manner,
        str(places),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    started = Worker(process, url)
    try:
        await started.hear("open")
        yield started
    finally:
        if process.returncode is None:
            await started.kill()
