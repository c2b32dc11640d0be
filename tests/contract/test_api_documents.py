"""Each API describes its own routes, all of them and no other's; examples are what their schemas say."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.routing import Route

from gateway.dialects.table import DIALECTS
from gateway.web.problem import KINDS
from tests.contract.conftest import Running

NATIVE = "native"
METHODS = {"get", "post", "put", "patch", "delete"}


async def document(mesh: Running, name: str) -> dict[str, Any]:
    async with mesh.http.get(f"/openapi/{name}.json") as response:
        assert response.status == 200
        known: dict[str, Any] = await response.json()
    return known


def described(known: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method, path) for path, methods in known["paths"].items() for method in methods}


def operations(known: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in known["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


async def test_every_route_of_a_dialect_is_in_its_document_and_in_no_other(mesh: Running) -> None:
    owners: dict[tuple[str, str], str] = {}
    assert NATIVE in DIALECTS
    for entry in DIALECTS.values():
        dialect = entry.dialect(mesh.gateway, {})
        assert dialect.name == entry.name
        routes = [route for route in dialect.routes().routes if isinstance(route, Route)]
        own = {
            (method.lower(), route.path)
            for route in routes
            if getattr(route, "include_in_schema", True)
            for method in route.methods or ()
            if method.lower() in METHODS
        }
        known = described(await document(mesh, dialect.name))
        assert own and own <= known, dialect.name
        if dialect.name != NATIVE:
            assert own == known, dialect.name
        for route in known:
            assert owners.setdefault(route, dialect.name) == dialect.name
    operation = {path for path, owner in owners.items() if owner == NATIVE and not path[1].startswith("/controlmesh/")}
    assert operation == {("get", "/healthz"), ("get", "/readyz"), ("get", "/metrics")}


async def test_titles_tell_the_apis_apart(mesh: Running) -> None:
    documents = [await document(mesh, name) for name in DIALECTS]
    assert len({known["info"]["title"] for known in documents}) == len(documents)
    async with mesh.http.get("/openapi.json") as response:
        assert await response.json() == await document(mesh, NATIVE)
    for known, name in zip(documents, DIALECTS, strict=True):
        async with mesh.http.get(f"/docs/{name}") as response:
            page = await response.text()
            assert response.status == 200 and f"<title>{known['info']['title']}</title>" in page
            assert all(f"/docs/{other}" in page for other in DIALECTS)
    for path in ("/openapi/nope.json", "/docs/nope"):
        async with mesh.http.get(path) as response:
            assert response.status == 404


async def test_every_reference_leads_somewhere(mesh: Running) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for name in DIALECTS:
        known = await document(mesh, name)
        for reference in references(known):
            found: Any = known
            for step in reference.removeprefix("#/").split("/"):
                found = found[step]


@pytest.fixture
async def native(mesh: Running) -> dict[str, Any]:
    return await document(mesh, NATIVE)


async def test_every_native_route_has_words_examples_and_its_errors(native: dict[str, Any]) -> None:
    for name, operation in operations(native):
        if not name.partition(" ")[2].startswith("/controlmesh/v1/") or operation["tags"] == ["operation"]:
            continue
        assert operation["summary"] and operation["description"], name
        for path_parameter in [part[1:-1] for part in name.split("/") if part.startswith("{")]:
            assert any(p["name"] == path_parameter and p["in"] == "path" for p in operation["parameters"]), name
        assert set(operation["responses"]) >= {"4XX", "5XX"}, name
        shown = list(contents(operation))
        assert shown, name
        for content in shown:
            schema = content.get("schema", {})
            bare = schema.get("format") == "binary" or schema == {"$ref": "#/components/schemas/ProblemBody"}
            assert bare or "example" in content or "examples" in content, name


async def test_examples_are_as_their_schemas_say(native: dict[str, Any]) -> None:
    checked = 0
    for name, operation in operations(native):
        for content in contents(operation):
            if "schema" not in content:
                continue
            examples = [one["value"] for one in content.get("examples", {}).values()]
            for example in [*examples, *([content["example"]] if "example" in content else [])]:
                whole = {**content["schema"], "components": native["components"]}
                try:
                    jsonschema.Draft202012Validator(whole).validate(example)
                except jsonschema.ValidationError as error:
                    raise AssertionError(f"{name}: {error.json_path}: {error.message}") from None
                checked += 1
    assert checked > 20


def contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every body that an operation takes or answers."""
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for reply in operation["responses"].values():
        yield from reply.get("content", {}).values()


async def test_real_answers_are_as_their_schemas_say(mesh: Running, native: dict[str, Any]) -> None:
    root = "/controlmesh/v1"
    async with mesh.http.post(f"{root}/generations", json={"prompt": "x", "steps": 1}) as response:
        record = await response.json()
    async with mesh.http.post(f"{root}/assets", json={"image": (await asset(mesh, record))}) as response:
        kept = await response.json()
    async with mesh.http.post(f"{root}/webhook-endpoints", json={"url": "https://example.org/"}) as response:
        endpoint = await response.json()
    for path, place in (
        ("/generations", "/generations"),
        ("/generations/{id}", f"/generations/{record['id']}"),
        ("/assets", "/assets"),
        ("/webhook-endpoints", "/webhook-endpoints"),
        ("/webhook-endpoints/{id}", f"/webhook-endpoints/{endpoint['id']}"),
        ("/webhook-secret", "/webhook-secret"),
        ("/assets/{id}/record", f"/assets/{kept['id']}/record"),
        ("/models", "/models"),
        ("/controls", "/controls"),
        ("/schedulers", "/schedulers"),
        ("/styles", "/styles"),
        ("/problems", "/problems"),
        ("/problems/{name}", "/problems/invalid"),
    ):
        async with mesh.http.get(root + place) as response:
            answer = await response.json()
        reply = native["paths"][root + path]["get"]["responses"]["200"]["content"]["application/json"]
        whole = {**reply["schema"], "components": native["components"]}
        jsonschema.Draft202012Validator(whole).validate(answer)


async def asset(mesh: Running, record: dict[str, Any]) -> str:
    async with mesh.http.get(record["images"][0]["url"] + ".base64") as response:
        return await response.text()


def test_the_page_about_the_api_lists_every_kind_of_problem() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \| ([`\w, -]+) \|", page, re.MULTILINE)
    listed = {
        (int(status), name.strip("` "))
        for statuses, names in rows
        for status, name in zip(statuses.split(","), names.split(","), strict=True)
    }
    assert listed == {(kind.status, kind.name) for kind in KINDS}
