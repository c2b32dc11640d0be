"""A whole gateway process, and its command line."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.rigs.ports import free_port


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"


def environment(folder: Path, **settings: str) -> dict[str, str]:
    kept = {
        "CN_GATEWAY_DATABASE_URL": f"sqlite:///{folder}/records.db",
        "CN_GATEWAY_STORAGE_URL": (folder / "assets").as_uri(),
        "CN_DRAIN_S": "0",
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("CN_")} | kept | settings


async def command(environ: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """`python -m gateway` with `arguments`, to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments, env=environ, stdout=-1, stderr=-1
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def serving(environ: dict[str, str]) -> AsyncIterator[list[str]]:
    """`python -m gateway`, listening; its log, which is whole after the end."""
    said: list[str] = []
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    listening = asyncio.Event()

    async def listen(lines: asyncio.StreamReader) -> None:
        async for line in lines:
            said.append(line.decode())
            if "Uvicorn running" in said[-1]:
                listening.set()
        listening.set()

    hearing = asyncio.create_task(listen(process.stdout))
    try:
        await asyncio.wait_for(listening.wait(), 60)
        assert process.returncode is None, said
        yield said
    finally:
        process.terminate()
        await process.wait()
        await hearing
