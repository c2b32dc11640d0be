"""What wrong requests are answered with, one row each: reviewing the tables is reviewing the words.

A row of `wrong_requests/<dialect>.json` has what is changed of a good request (`send`), or the body itself (`raw`,
with its `type`), the `status`, and fragments that the answer must have (`said`): its message, or what stands `at` the
tip, the hint, the notes or the status of an answer that was made nevertheless; it must have none of `not_said`. `field`
is the native answer's. `path` and `method` differ from the usual ones where they are given; `only` are the fields that
are kept of the good request.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.contract.conftest import Running
from tests.rigs.pairs import FILLED, filled

HERE = Path(__file__).with_name("wrong_requests")
GOOD: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "native": ("/controlmesh/v1/generations", {"prompt": "a boat", "width": 128, "height": 64, "steps": 2}),
    "huggingface": ("/", {"inputs": "a boat", "image": "$picture", "controlnet_type": "canny_edge"}),
    "enterprise": (
        "/api/v1/enterprise/controlnet",
        {"prompt": "a boat", "controlnet_model": "canny", "controlnet_type": "canny", "init_image": "$picture"},
    ),
    "scenario": (
        "/v1/generate/controlnet",
        {"prompt": "a boat", "modelId": "demo", "modality": "canny", "controlImage": "$picture_url"},
    ),
}
ROWS = [(path.stem, row) for path in sorted(HERE.glob("*.json")) for row in json.loads(path.read_text())]


def _name(dialect: str, row: Mapping[str, Any]) -> str:
    asked = row.get("raw", json.dumps(row.get("send", "")))
    return f"{dialect} {row.get('method', '')}{row.get('path', '')} {asked}"[:90]


def _body(dialect: str, row: Mapping[str, Any]) -> bytes:
    if "raw" in row:
        return str(row["raw"]).encode()
    _, good = GOOD[dialect]
    kept = {name: value for name, value in good.items() if name in row.get("only", good)}
    return orjson.dumps(filled({**kept, **row.get("also", {}), **row.get("send", {})}, FILLED))


def _said(row: Mapping[str, Any], body: Any, headers: Mapping[str, str]) -> str:
    """The words that are looked at."""
    match row.get("at"):
        case "notes":
            return " ".join(json.loads(headers["X-ControlMesh-Notes"]))
        case "hint":
            return str(body["job"]["metadata"]["hint"])
        case "tip" | "status" as name:
            return str(body[name])
    return str(next(body[name] for name in ("detail", "error", "reason", "message") if name in body))


@pytest.mark.parametrize(("dialect", "row"), ROWS, ids=[_name(*row) for row in ROWS])
async def test_a_wrong_request_is_told_what_to_change(shared: Running, dialect: str, row: dict[str, Any]) -> None:
    path, _ = GOOD[dialect]
    headers = {"Content-Type": row.get("type", "application/json"), "Accept": "application/json, */*;q=0.1"}
    data = None if row.get("method") == "GET" else _body(dialect, row)
    async with shared.http.request(
        row.get("method", "POST"), row.get("path", path), data=data, headers=headers
    ) as answer:
        body = await answer.json(content_type=None)
        said = _said(row, body, answer.headers) if answer.status == row["status"] else str(body)
    assert answer.status == row["status"], said
    assert [fragment for fragment in row["said"] if fragment not in said] == [], said
    assert [fragment for fragment in row.get("not_said", ()) if fragment in said] == [], said
    if dialect == "native":
        assert body.get("field") == row.get("field"), said
    # A message says how much was sent, not all of it.
    assert len(said) < 1200 and FILLED["$picture"][:60] not in said
