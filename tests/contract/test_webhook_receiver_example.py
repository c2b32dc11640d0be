"""The documented receiver of webhooks does what it says, and believes what is signed alone, from a real server."""

import asyncio
import sys
from pathlib import Path

import aiohttp

from tests.contract.conftest import Start
from tests.rigs.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
RECEIVER = ROOT / "docs" / "examples" / "webhook_receiver.py"
KEY = "mine-" + 40 * "m"


async def test_it_hears_of_its_picture_and_believes_nobody_else(start: Start) -> None:
    hook = f"http://127.0.0.1:{free_port()}/hook"
    async with start(api_keys=(KEY,), webhook_allow=("127.0.0.1:*",)) as mesh:
        mesh.rooms.pace.clear()
        command = (sys.executable, RECEIVER, "a boat", "--server", mesh.url, "--key", KEY, "--hook", hook)
        receiver = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
        async with asyncio.timeout(60):
            # It listens by then: the picture is being made.
            await mesh.rooms.seen.started.wait()
            forged = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,Zm9yZ2Vk"}
            for headers in (forged, {}):
                async with aiohttp.request("POST", hook, data=b'{"type": "forged"}', headers=headers) as response:
                    assert response.status == 400
            mesh.rooms.pace.set()
            out, err = await receiver.communicate()
        event, url = out.decode().split()
        assert (receiver.returncode, event) == (0, "generation.completed"), err.decode()
        async with mesh.http.get(url) as response:
            assert (response.status, response.content_type) == (200, "image/png")


async def test_what_it_shows_is_what_the_page_tells() -> None:
    page = (ROOT / "docs" / "webhooks.md").read_text()
    assert RECEIVER.relative_to(ROOT / "docs").as_posix() in page
