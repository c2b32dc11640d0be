"""The evaluation asks a mesh over HTTP for what it should, and reports what comes back."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from typer.testing import CliRunner

from controlmesh_client import AsyncClient
from demo.__main__ import app
from demo.adherence import COLUMNS, FLOORS, Request, missed, requests
from demo.evaluate import (
    ROWS,
    MeshError,
    Settings,
    body,
    draw_all,
    evaluate,
    from_png,
    offered,
    png,
)
from demo.hints import hint
from demo.judge import Pixels
from demo.recipe import CONTROLS
from demo.render import render
from demo.repaint import repaint
from demo.report import markdown, screen_table, write_grid
from demo.sweep import ENDS, GUESSES, POINTS, WEIGHTS, Point, sweep
from demo.sweep_report import PAGE, PLOT, write

PROMPTS = requests(10, first_seed=500)
BY_SEED = dict(enumerate(PROMPTS))
ASSET = "/controlmesh/v1/assets/{}.png"


class PaintingMesh:
    """Speaks the native API and paints, instead of running a model: `paint` sees the request's body."""

    def __init__(self, paint: Callable[[dict[str, Any]], Pixels]) -> None:
        self.paint = paint
        self.kinds = ["canny", "inpaint", "mlsd"]
        self.asked: list[dict[str, Any]] = []
        self.together = self.most_together = 0
        self._assets: dict[str, bytes] = {}

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.removeprefix("/controlmesh/v1")
        if path == "/models":
            models = [{"name": "other", "controls": ["mlsd"]}, {"name": "demo", "controls": self.kinds}]
            return httpx2.Response(200, json={"models": models, "default": "demo"})
        if request.method == "GET":
            return httpx2.Response(200, content=self._assets[request.url.path])
        assert (path, request.url.params["wait"]) == ("/generations", "60")
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        await asyncio.sleep(0)  # lets the other requests in flight arrive
        body = json.loads(request.content)
        self.asked.append(body)
        url = ASSET.format(len(self.asked))
        self._assets[url] = png(self.paint(body))
        self.together -= 1
        image = {"url": url, "seed": body["seed"], "width": body["width"], "height": body["height"]}
        told = {"id": "g", "status": "succeeded", "images": [image], "notes": [], "error": None, "request": body}
        return httpx2.Response(200, json=told)

    def client(self) -> AsyncClient:
        return client_of(self)


def client_of(answer: Callable[[httpx2.Request], Any]) -> AsyncClient:
    """A client of a mesh that answers so; a second goes by whenever it looks at its clock."""
    seconds = count()

    async def sleep(pause_s: float) -> None:
        return

    transport = httpx2.MockTransport(answer)
    return AsyncClient("http://mesh.test", transport=transport, sleep=sleep, clock=lambda: float(next(seconds)))


def sent_picture(text: str) -> Pixels:
    """The picture in a data URL of a request."""
    return from_png(base64.b64decode(text.partition(",")[2]))


def obedient(body: dict[str, Any]) -> Pixels:
    """The scene's own render where there is a hint, else the scene in another place."""
    scene = BY_SEED[body["seed"]].scene
    drawn = render(scene).image
    return drawn if body["controls"] else drawn[:, ::-1]


def test_an_obedient_mesh_reaches_every_floor_and_gets_exact_hints() -> None:
    mesh = PaintingMesh(obedient)
    told: list[str] = []
    table, pictures = asyncio.run(evaluate(mesh.client(), PROMPTS, Settings(), told.append))
    assert list(table) == ["render", *CONTROLS, "free", "unrelated"]
    assert all(table[kind] == table["render"] for kind in CONTROLS)
    assert missed(table) == []
    assert table["free"].edge_f1 < table["canny"].edge_f1 == 1.0
    assert {row: told.count(row) for row in told} == dict.fromkeys(ROWS, 10)
    assert [len(drawn) for drawn in pictures.values()] == [10] * len(ROWS)
    assert 1 < mesh.most_together <= 8
    for content in mesh.asked:
        request = BY_SEED[content["seed"]]
        assert content["prompt"] == request.prompt
        assert (content["steps"], content["guidance_scale"], content["scheduler"]) == (
            20,
            3.0,
            "UniPCMultistepScheduler",
        )
        for control in content["controls"]:
            assert (control["auto_hint"], control["weight"]) == (False, 1.0)
            sent = sent_picture(control["image"])
            if control["kind"] == "inpaint":
                task = repaint(request.scene, 128)
                np.testing.assert_array_equal(sent, task.source)
                np.testing.assert_array_equal(sent_picture(control["mask"])[..., 0] > 0, task.mask)
            else:
                assert "mask" not in control
                np.testing.assert_array_equal(sent, hint(control["kind"], render(request.scene)))


def test_only_what_the_model_has_is_asked_for(tmp_path: Path) -> None:
    mesh = PaintingMesh(obedient)
    rows = asyncio.run(offered(mesh.client()))
    assert rows == {"canny": "canny", "inpaint": "inpaint", "free": None}
    table, pictures = asyncio.run(evaluate(mesh.client(), PROMPTS, Settings(), rows=rows))
    assert list(table) == ["render", "canny", "inpaint", "free", "unrelated"]
    page = markdown(table, Settings())
    assert "| inpaint: " in page and "| scribble: " not in page
    write_grid(tmp_path / "grid.png", PROMPTS, pictures)
    assert from_png((tmp_path / "grid.png").read_bytes()).shape == (5 * 128, 8 * 128, 3)


def test_a_mesh_that_ignores_the_request_is_found_out() -> None:
    grey = np.full((128, 128, 3), 128, np.uint8)
    table, _ = asyncio.run(evaluate(PaintingMesh(lambda body: grey).client(), PROMPTS, Settings()))
    assert table["canny"].shape_one == table["canny"].edge_f1 == 0.0
    assert "missed" in markdown(table, Settings())


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (httpx2.Response(429, json={"detail": "busy"}), "answered 429"),
        (
            httpx2.Response(202, json={"id": "g", "status": "running", "progress": {"step": 1, "steps": 2}}),
            "running after",
        ),
    ],
)
def test_anything_but_a_picture_is_an_error(answer: httpx2.Response, complaint: str) -> None:
    async def ask() -> None:
        async with client_of(lambda request: answer) as client:
            await draw_all(client, [body(PROMPTS[0], None, 0, Settings())], Settings())

    with pytest.raises(MeshError, match=complaint):
        asyncio.run(ask())


def test_a_broken_asset_is_an_error() -> None:
    with pytest.raises(MeshError, match="not a picture"):
        from_png(b"GIF89a")


def test_report_and_grid_show_every_row_and_floor(tmp_path: Path) -> None:
    table, pictures = asyncio.run(evaluate(PaintingMesh(obedient).client(), PROMPTS, Settings()))
    page = markdown(table, Settings())
    assert all(str(floor) in page for floor in FLOORS)
    assert "10 fresh prompts" in page and "| real renders (ceiling) |" in page
    shown = screen_table(table)
    assert [column.header for column in shown.columns[1:]] == list(table) and shown.row_count == len(COLUMNS)
    write_grid(tmp_path / "new" / "grid.png", PROMPTS, pictures)
    sheet = from_png((tmp_path / "new" / "grid.png").read_bytes())
    assert sheet.shape == ((2 * len(CONTROLS) + 1) * 128, 8 * 128, 3)
    np.testing.assert_array_equal(sheet[:128, :128], hint("canny", render(PROMPTS[0].scene)))
    np.testing.assert_array_equal(sheet[128:256, :128], render(PROMPTS[0].scene).image)


def test_prompts_are_fresh_and_repeatable() -> None:
    assert requests(3, first_seed=7)[1:] == requests(2, first_seed=8)
    assert all(isinstance(request, Request) and request.prompt for request in PROMPTS)


def swayed(body: dict[str, Any]) -> Pixels:
    """A mesh whose hint counts as much as its weight and its end say: the picture's right part is the mirror's."""
    drawn = render(BY_SEED[body["seed"]].scene).image
    (control,) = body["controls"]
    if not body["prompt"]:
        drawn = np.repeat(drawn.mean(2, keepdims=True), 3, axis=2).astype(np.uint8)
    kept = round(128 * min(1.0, control["weight"], control["end"]))
    return np.concatenate([drawn[:, :kept], drawn[:, ::-1][:, kept:]], axis=1)


def test_a_sweep_asks_for_every_setting_with_the_same_seeds(tmp_path: Path) -> None:
    mesh = PaintingMesh(swayed)
    told: list[None] = []
    measured = asyncio.run(sweep(mesh.client(), PROMPTS, Settings(), told=lambda: told.append(None)))
    assert len(told) == len(mesh.asked) == 10 * len(POINTS)
    settings = {
        (c["weight"], c["end"], body["guess_mode"], body["prompt"] != "")
        for body in mesh.asked
        for c in body["controls"]
    }
    assert settings == {(p.weight, p.end, p.guess_mode, p.prompted) for p in POINTS}
    assert sorted(body["seed"] for body in mesh.asked) == sorted([*range(10)] * len(POINTS))
    strengths = [measured[point].edge_f1 for point in WEIGHTS[:4]]
    assert strengths == sorted(strengths) and strengths[0] < 0.5 and strengths[-1] == 1.0
    assert measured[Point(end=0)] == measured[Point(weight=0)]
    assert measured[Point(prompted=False)].in_mask < 0.5 < measured[Point()].in_mask
    write(tmp_path, measured, Settings())
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert page.count("\n| ") == len(WEIGHTS) + len(ENDS) + len(GUESSES) + 2 * 3
    assert "| 1 | 1.000 | 100.0 % |" in page and f"({PLOT})" in page
    first = (tmp_path / PLOT).read_bytes()
    write(tmp_path, measured, Settings())
    assert b"<svg" in first and (tmp_path / PLOT).read_bytes() == first


def test_help_teaches_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    assert all(command in shown.output for command in ("train", "evaluate", "sweep"))


@pytest.mark.parametrize("command", ["evaluate", "sweep"])
def test_an_absent_mesh_is_status_two(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--url", "http://127.0.0.1:1", "--count", "2"])
    assert shown.exit_code == 2
    assert "make up" in shown.output
