"""The folder of the files can't be written any more: what was accepted ends, is announced, and leaves no half file."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from obstore.store import LocalStore

from gateway.files.stores import Files
from gateway.generation.generation import Generation
from gateway.jobs.job import Order, Status
from mesh.errors import Unavailable
from tests.rigs.jobs import PICTURE, Conductor
from tests.rigs.webhooks import receiving, site

BOAT = Generation(prompt="a boat", steps=2, seed=7)


async def test_a_job_fails_and_its_webhook_says_so(tmp_path: Path) -> None:
    folder, conduct = tmp_path / "files", Conductor()
    folder.mkdir()
    async with receiving() as receiver, site("process", "", folder, conduct) as here:
        job = await here.jobs.submit(Order(replace(BOAT, image=PICTURE), "me", "native", webhook=receiver.url("/hook")))
        await conduct.until(lambda: conduct.begun == ["a boat"])
        # As on a disk that is gone or full: nothing can be created there.
        folder.rename(tmp_path / "gone")
        folder.write_bytes(b"")
        conduct.go.set()
        done = await here.jobs.wait(job.id, "me", 30)
        assert done.status == Status.FAILED and isinstance(done.error, Unavailable)
        assert done.error.message == "the file store is not available at the moment; try again later"
        (call,) = await receiver.until(1, "/hook")
        assert b"generation.failed" in call.body and str(tmp_path).encode() not in call.body
        with pytest.raises(Unavailable):
            await here.jobs.submit(Order(replace(BOAT, image=PICTURE), "me", "native"))
        # It comes back without a restart.
        folder.unlink()
        (tmp_path / "gone").rename(folder)
        again = await here.jobs.submit(Order(BOAT, "me", "native"))
        assert (await here.jobs.wait(again.id, "me", 30)).status == Status.SUCCEEDED
        left = [path.name for path in folder.rglob("*") if path.is_file()]
        assert set(left) <= {*again.assets, *(name for name in left if name.endswith(".png") and "#" not in name)}
        assert len(left) <= 2


async def test_a_file_that_does_not_fit_is_not_visible_in_part(tmp_path: Path) -> None:
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {tmp_path} 2>/dev/null"):  # noqa: ASYNC221
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        files = Files(LocalStore(str(tmp_path)), floor_bytes=1 << 30)
        await files.put("small.png", PICTURE, "image/png")
        await files.check_room()
        with pytest.raises(Unavailable):
            await files.put("large.png", os.urandom(100_000), "image/png")
        assert await files.get("large.png") is None
        assert [path async for entries in files.entries() for path, _ in entries] == ["small.png"]
        await asyncio.to_thread((tmp_path / "filling").write_bytes, b"x" * 59_000)
        with pytest.raises(Unavailable, match="nearly full"):
            await Files(LocalStore(str(tmp_path)), floor_bytes=1 << 30).check_room()
    finally:
        os.system(f"umount {tmp_path}")  # noqa: ASYNC221
