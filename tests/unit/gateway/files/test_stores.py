"""How many threads a folder of files costs."""

import subprocess
import sys
from pathlib import Path

from gateway.files.stores import MOST_AT_ONCE

ROOT = Path(__file__).resolve().parents[4]
# A process of its own, because the library keeps its threads for ten seconds. Two run its loop.
BUSY = """
import asyncio, sys
from pathlib import Path
from obstore.store import LocalStore
from gateway.files.stores import Files

def threads():
    return sum("tokio" in path.read_text() for path in Path("/proc/self/task").glob("*/comm"))

async def main():
    files = Files(LocalStore(sys.argv[1]))
    paths = [f"{number}.png" for number in range(600)]
    begin = threads()
    await asyncio.gather(*(files.put(path, bytes(1 << 16), "image/png") for path in paths))
    assert await asyncio.gather(*map(files.get, paths)) == [bytes(1 << 16)] * len(paths)
    await files.remove(paths)
    print(begin, threads(), len(list(Path(sys.argv[1]).iterdir())))

asyncio.run(main())
"""


def test_many_files_at_once_take_few_threads(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", BUSY, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    begin, end, left = map(int, told.stdout.split())
    assert end - begin <= 8 * MOST_AT_ONCE
    assert left == 0
