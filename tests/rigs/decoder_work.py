"""What tests let decoder processes do."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def endless(content: bytes, started: str = "") -> None:
    """Never returns, in a way that nothing but the end of the process stops; `started` is made first."""
    if started:
        Path(started).write_text(str(os.getpid()))
    while True:
        pass


def dies(content: bytes) -> None:
    os.abort()


def dies_once(content: bytes, trace: str) -> str:
    if not Path(trace).exists():
        Path(trace).touch()
        os.abort()
    return "second"


def allocates(content: bytes, size: int) -> int:
    return np.ones(size, np.uint8).size


def whose(content: bytes) -> int:
    return os.getpid()


def waits(content: bytes, released: str) -> float:
    """Returns when the file `released` is there."""
    while not Path(released).exists():
        time.sleep(0.005)
    return time.monotonic()


def modules(content: bytes) -> list[str]:
    return sorted({name.partition(".")[0] for name in sys.modules})


def arrays(content: bytes) -> tuple[np.ndarray, str, np.ndarray]:
    return np.arange(5, dtype=np.uint8), "between", np.arange(1_000_000, dtype=np.float32).reshape(1000, 1000)


async def main(content: bytes, *names: str) -> list[str]:
    """The packages that a process holds which decodes with the modules `names`."""
    from mesh.decoders import Decoders, DecoderSettings
    from tests.rigs import decoder_work

    decoders = Decoders(DecoderSettings(), names)
    try:
        return await decoders.run(decoder_work.modules, content, "image")
    finally:
        await decoders.close()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]).read_bytes(), *sys.argv[2:]))))
