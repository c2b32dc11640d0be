"""Our own client against the whole mesh, the same tests for both of its kinds."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from controlmesh_client import Cancelled, Control, Invalid, NotFound
from local.demo import CANNY, source_picture
from local.supervision import LocalMesh
from mesh.pictures import decode
from tests.client.both import KINDS, Both, called, followed

PROMPT = "a red star on a green background"
OPTIONS: dict[str, Any] = {"width": 128, "height": 128, "steps": 8, "guidance_scale": 3.0, "scheduler": "DDIMScheduler"}


@pytest.fixture(params=KINDS)
async def client(request: Any, mesh: LocalMesh) -> AsyncIterator[Both]:
    """A client of either kind; its pauses are none."""
    async with Both(request.param, mesh.url) as opened:
        yield opened


async def test_a_controlled_picture_is_made_and_made_again(client: Both) -> None:
    control = Control("canny", source_picture(), parameters=CANNY)
    made = await client.ask("generate", PROMPT, [control], samples=2, seed=5, format="webp", **OPTIONS)
    assert [(one.seed, one.media_type) for one in made] == [(5, "image/webp"), (6, "image/webp")]
    (again,) = await client.ask("generate", **made[1].request)
    np.testing.assert_array_equal(decode(again.bytes), decode(made[1].bytes))
    (free,) = await client.ask("generate", PROMPT, seed=6, **OPTIONS)
    assert (decode(free.bytes) != decode(again.bytes)).any()


async def test_a_job_tells_of_its_steps_and_shows_previews(client: Both) -> None:
    job = await client.ask("submit", PROMPT, seed=7, preview_every=10, **{**OPTIONS, "steps": 30})
    heard = [progress async for progress in followed(job)]
    done = [progress.done for progress in heard]
    assert done == sorted(done) and len(set(done)) > 5 and heard[-1].of == 30
    previews = [progress.preview for progress in heard if progress.preview]
    assert previews and previews[0].image().size[0] > 0
    assert job.status == "succeeded" and len(await called(job, "result")) == 1


async def test_a_job_is_stopped(client: Both) -> None:
    job = await client.ask("submit", PROMPT, **{**OPTIONS, "steps": 150, "width": 512, "height": 512})
    await called(job, "cancel")
    with pytest.raises(Cancelled):
        await called(job, "result", timeout_s=60)


async def test_hints_and_files_go_there_and_back(client: Both) -> None:
    asset = await client.ask("upload", source_picture(), name="star.png")
    hint = await client.ask("hint", "canny", asset, parameters=CANNY, width=128, height=128)
    (made,) = await client.ask("generate", PROMPT, [Control("canny", hint, auto_hint=False)], seed=5, **OPTIONS)
    direct = Control("canny", source_picture(), parameters=CANNY)
    (same,) = await client.ask("generate", PROMPT, [direct], seed=5, **OPTIONS)
    np.testing.assert_array_equal(decode(made.bytes), decode(same.bytes))
    assert (await client.ask("download", asset.id)).bytes == source_picture()
    await client.ask("remove", asset)
    with pytest.raises(NotFound):
        await client.ask("asset", asset.id)


async def test_what_there_is_and_what_is_refused(client: Both) -> None:
    models = await client.ask("models")
    assert models["default"] == "demo"
    kinds = {row["kind"] for row in (await client.ask("controls", "demo"))["controls"]}
    assert "canny" in kinds
    with pytest.raises(Invalid) as refused:
        await client.ask("generate", PROMPT, [Control("canny", source_picture(), weight=-1)], **OPTIONS)
    assert refused.value.field == "controls[0].weight" and refused.value.request_id
