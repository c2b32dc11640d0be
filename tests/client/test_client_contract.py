"""Both clients against a gateway: the same tests for each."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from controlmesh_client import (
    Asset,
    Cancelled,
    Control,
    Invalid,
    NotFinished,
    NotFound,
    Problem,
    Unauthenticated,
    Unavailable,
    problems,
)
from controlmesh_client.uploads import INLINE_BYTES
from gateway.web import problem
from mesh.errors import Unavailable as RoomAway
from mesh.pictures import decode, encode
from tests.client.both import called, followed
from tests.client.conftest import Connect
from tests.contract.conftest import Running, Start

PIXELS = np.zeros((64, 96, 3), np.uint8)
PNG = encode(PIXELS)
LARGE = np.random.default_rng(7).integers(0, 256, (512, 512, 3), np.uint8)


async def records(gateway: Running) -> list[dict[str, Any]]:
    async with gateway.http.get("/controlmesh/v1/generations") as response:
        return list((await response.json())["generations"])


async def test_pictures_are_made_and_can_be_made_again(gateway: Running, connect: Connect, tmp_path: Path) -> None:
    async with connect(gateway.url) as mesh:
        controls = [Control("canny", PNG, weight=0.5, end=0.6), {"kind": "depth", "image": PNG, "auto_hint": False}]
        made = await mesh.ask("generate", "a boat", controls, seed=41, samples=2, steps=3, format="webp")
        assert [(one.seed, one.width, one.height) for one in made] == [(41, 96, 64), (42, 96, 64)]
        assert (len(made), made.seed, made.notes, made[0].media_type) == (2, 41, (), "image/webp")
        assert made[1].save(tmp_path / "new" / "boat.webp").read_bytes() == made[1].bytes
        assert made[0].image().size == (96, 64)
        again = await mesh.ask("generate", **made[1].request)
        assert [(one.seed, one.bytes) for one in again] == [(42, made[1].bytes)]
        assert again.record["request"]["controls"] == made.record["request"]["controls"]
    assert [control.weight for control in gateway.rooms.seen.prepared[0].controls] == [0.5, 1.0]


async def test_a_picture_may_have_any_form(gateway: Running, connect: Connect, tmp_path: Path) -> None:
    path = tmp_path / "room.png"
    path.write_bytes(PNG)
    async with connect(gateway.url) as mesh:
        asset = await mesh.ask("upload", PNG)
        for form in (path, str(path), PNG, PIXELS, PIXELS[..., 0], Image.fromarray(PIXELS), asset, asset.reference):
            made = await mesh.ask("generate", "a boat", [Control("canny", form)], steps=1)
            assert (made[0].width, made[0].height) == (96, 64), form
            assert (await mesh.ask("hint", "canny", made[0])).image().size
        with pytest.raises(TypeError, match="uint8"):
            await mesh.ask("hint", "canny", PIXELS.astype(np.float32))
        with pytest.raises(FileNotFoundError):
            await mesh.ask("hint", "canny", "nowhere.png")
        with pytest.raises(TypeError, match="not int"):
            await mesh.ask("hint", "canny", 7)


async def test_a_job_is_followed_with_previews_to_its_pictures(gateway: Running, connect: Connect) -> None:
    async with connect(gateway.url) as mesh:
        gateway.rooms.pace.clear()
        job = await mesh.ask("submit", "a boat", steps=4, preview_every=2, seed=7, width=64, height=64)
        assert job.status in ("queued", "running")
        heard = []
        async for progress in followed(job):
            heard.append(progress)
            if progress.done:
                gateway.rooms.pace.set()
        assert [one.done for one in heard] == sorted(one.done for one in heard) and heard[-1].of == 4
        previews = [one.preview for one in heard if one.preview]
        assert previews and decode(previews[0].bytes)[0, 0].tolist() == [7, previews[0].step, 0]
        assert job.status == "succeeded"
        made = await called(job, "result")
        assert (made.id, [one.seed for one in made]) == (job.id, [7])
        known = await mesh.ask("job", job.id)
        assert (await called(known, "result"))[0].bytes == made[0].bytes
        assert [record["id"] for record in (await mesh.ask("generations", status="succeeded"))["generations"]] == [
            job.id
        ]


async def test_a_job_is_stopped(gateway: Running, connect: Connect) -> None:
    async with connect(gateway.url) as mesh:
        gateway.rooms.pace.clear()
        job = await mesh.ask("submit", "a boat")
        await gateway.rooms.seen.started.wait()
        with pytest.raises(NotFinished, match="running"):
            await called(job, "result", timeout_s=0.2)
        await called(job, "cancel")
        assert job.status == "cancelled" and (await called(job, "refresh"))["status"] == "cancelled"
        await gateway.rooms.seen.cancelled.wait()
        with pytest.raises(Cancelled):
            await called(job, "result")
        assert [one async for one in followed(job)] == []


async def test_what_nobody_waits_for_any_more_is_stopped(gateway: Running, connect: Connect) -> None:
    async with connect(gateway.url) as mesh:
        gateway.rooms.pace.clear()
        with pytest.raises(TimeoutError):
            await mesh.ask("generate", "a boat", timeout_s=1)
        await asyncio.wait_for(gateway.rooms.seen.cancelled.wait(), 10)
        assert [record["status"] for record in await records(gateway)] == ["cancelled"]


async def test_a_hint_is_made_alone(gateway: Running, connect: Connect) -> None:
    async with connect(gateway.url) as mesh:
        hint = await mesh.ask("hint", "canny", PNG, parameters={"low_threshold": np.int64(50)}, width=64, height=128)
        assert (hint.image().size, hint.kind, hint.annotator, hint.media_type) == ((64, 128), "canny", "", "image/png")
        words = await mesh.ask("hint", "qrcode", text="https://example.org", extractor="words")
        assert words.answer["extractor"] == "words" and words.notes == ()
    assert gateway.rooms.seen.extracted[0].control.parameters == {"low_threshold": 50}


async def test_a_large_picture_is_sent_once(gateway: Running, connect: Connect) -> None:
    assert len(encode(LARGE)) > INLINE_BYTES
    clock = [0.0]
    async with connect(gateway.url, clock=lambda: clock[0]) as mesh:
        controls = [Control("canny", LARGE), Control("depth", PNG, auto_hint=False)]
        for _ in range(2):
            made = await mesh.ask("generate", "a boat", controls, steps=1)
        listed = (await mesh.ask("assets", source="uploaded"))["assets"]
        assert len(listed) == 1 and listed[0]["expires_at"] is not None
        assert made.request["controls"][0]["image"] == f"asset:{listed[0]['id']}"
        assert made.request["controls"][1]["image"].startswith("data:image/png")
        # It is uploaded again where somebody removed it, and long before the mesh does.
        await mesh.ask("remove", Asset(listed[0]))
        await mesh.ask("generate", "a boat", controls, steps=1)
        (anew,) = (await mesh.ask("assets", source="uploaded"))["assets"]
        assert anew["id"] != listed[0]["id"]
        await mesh.ask("remove", anew["id"])
        await mesh.ask("hint", "canny", LARGE)
        (once_more,) = (await mesh.ask("assets", source="uploaded"))["assets"]
        await mesh.ask("remove", once_more["id"])
        clock[0] += 13 * 3600
        await mesh.ask("hint", "canny", LARGE)
        assert len((await mesh.ask("assets", source="uploaded"))["assets"]) == 1


async def test_files_are_kept_read_and_removed(gateway: Running, connect: Connect) -> None:
    async with connect(gateway.url) as mesh:
        asset = await mesh.ask("upload", PIXELS, name="room.png", expires_s=3600)
        assert (asset.record["name"], asset.record["width"]) == ("room.png", 96)
        assert (await mesh.ask("asset", asset.id)).record == asset.record
        for named in (asset, asset.id):
            np.testing.assert_array_equal(decode((await mesh.ask("download", named)).bytes), PIXELS)
        await mesh.ask("remove", asset)
        with pytest.raises(NotFound):
            await mesh.ask("asset", asset.id)


async def test_what_there_is_is_listed(gateway: Running, connect: Connect) -> None:
    async with connect(gateway.url) as mesh:
        models = await mesh.ask("models")
        assert models["default"] in [model["name"] for model in models["models"]]
        everything = {row["kind"] for row in (await mesh.ask("controls"))["controls"]}
        of_demo = {row["kind"] for row in (await mesh.ask("controls", "demo"))["controls"]}
        assert "canny" in of_demo < everything
        assert "DDIMScheduler" in [one["name"] for one in (await mesh.ask("schedulers"))["schedulers"]]
        assert [one["name"] for one in (await mesh.ask("styles"))["styles"]] == ["comic"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"steps": 0}, "steps"), ({"controls": [Control("canny", PNG, weight=99)]}, "controls[0].weight")],
)
async def test_a_refusal_names_the_field(gateway: Running, connect: Connect, asked: dict[str, Any], field: str) -> None:
    async with connect(gateway.url) as mesh:
        with pytest.raises(Invalid, match="must be") as refused:
            await mesh.ask("generate", "a boat", **asked)
        assert (refused.value.field, refused.value.status, refused.value.retry_after_s) == (field, 422, None)
        assert refused.value.type.endswith("/problems/invalid") and refused.value.request_id
        assert mesh.pauses == []


async def test_a_generation_that_failed_is_not_asked_for_again(gateway: Running, connect: Connect) -> None:
    gateway.rooms.failure = RoomAway("unet_svc is away", retry_after_s=3)
    async with connect(gateway.url) as mesh:
        with pytest.raises(Unavailable, match="away") as failed:
            await mesh.ask("generate", "a boat")
        assert (failed.value.retry_after_s, mesh.pauses) == (3, [])
        job = await mesh.ask("submit", "a boat")
        with pytest.raises(Unavailable, match="away"):
            await called(job, "result")
        assert job.status == "failed"


async def test_the_key_goes_along_and_to_nobody_else(start: Start, connect: Connect) -> None:
    async with start(api_keys=("mine",)) as gateway:
        async with connect(gateway.url, "mine") as mesh:
            assert (await mesh.ask("generate", "a boat", steps=1))[0].bytes
        async with connect(gateway.url) as stranger:
            with pytest.raises(Unauthenticated):
                await stranger.ask("models")


async def test_there_is_a_class_for_every_kind_of_problem() -> None:
    classes = {cls.kind: cls for cls in Problem.__subclasses__()}
    assert {kind.name: kind.status for kind in problem.KINDS} == {
        name: cls.usual_status for name, cls in classes.items()
    }
    for kind in problem.KINDS:
        told = problems.problem({"type": kind.type, "status": kind.status, "detail": "x"})
        assert type(told) is classes[kind.name] and str(told) == "x"
