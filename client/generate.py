"""Write the client's types from the native API's own description: `python client/generate.py [--check]`.

Every schema that ANSWERS names, and whatever these refer to, becomes a TypedDict of the same name in
controlmesh_client/schema.py; those of OPTIONS go to controlmesh_client/options.py.
"""

import asyncio
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from gateway.app.application import make_app
from gateway.bootstrap import open_gateway
from gateway.dialects.table import VOICES
from gateway.settings import GatewaySettings

FOLDER = Path(__file__).parent / "controlmesh_client"
ANSWERS = ("GenerationRecord", "GenerationList", "ModelList", "ControlList", "SchedulerList", "StyleList")
ANSWERS += ("AssetRecordBody", "AssetList", "HintAnswer")
OPTIONS = {
    "GenerationOptions": ("GenerationBody", ("prompt", "controls", "image", "mask")),
    "ControlOptions": ("ControlBody", ("kind", "image", "mask")),
    "HintOptions": ("HintBody", ("kind", "image", "mask")),
}
"""Class of keyword arguments -> the schema of a request, and its fields that the client's methods name themselves."""
HEAD = '''"""{title}. Written by client/generate.py from its OpenAPI description."""

from typing import Literal, NotRequired, TypedDict

'''
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def hint(schema: Mapping[str, Any]) -> str:
    """The Python type of a JSON schema."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(hint(one) for one in schema["anyOf"])
    if "enum" in schema:
        return f"Literal[{', '.join(map(repr, schema['enum']))}]"
    if schema["type"] == "array":
        return f"list[{hint(schema['items'])}]"
    if schema["type"] == "object":
        return f"dict[str, {hint(schema['additionalProperties'])}]"
    return _PLAIN[schema["type"]]


def typed_dict(name: str, schema: Mapping[str, Any], without: Collection[str] = ()) -> str:
    """The class of an object's schema."""
    required = schema.get("required", ())
    lines = [f"class {name}(TypedDict):", f'    """{schema["description"]}"""']
    for field, inner in schema["properties"].items():
        if field not in without:
            lines.append(f"    {field}: {hint(inner) if field in required else f'NotRequired[{hint(inner)}]'}")
    return "\n".join(lines) + "\n"


def referred(schema: Any) -> Iterator[str]:
    """Names of the schemas that a part of a schema refers to, its own children's first."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for inner in schema.values():
            yield from referred(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from referred(inner)


def files(schemas: Mapping[str, Any]) -> dict[str, str]:
    """Source by the name of its file."""
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in order:
            for inner in referred(schemas[name]):
                visit(inner)
            order[name] = None

    for name in ANSWERS:
        visit(name)
    answers = [typed_dict(name, schemas[name]) for name in order]
    options = [typed_dict(name, schemas[body], without) for name, (body, without) in OPTIONS.items()]
    return {
        "schema.py": source("What the native API answers", answers),
        "options.py": source("Options of the native API's requests", options),
    }


def source(title: str, classes: list[str]) -> str:
    """The text of a module, in the project's style."""
    text = HEAD.format(title=title) + "\n\n".join(classes)
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "120", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


async def described() -> dict[str, Any]:
    """The schemas of the native API, as a gateway serves them."""
    async with open_gateway(GatewaySettings(), VOICES) as gateway:
        transport = httpx2.ASGITransport(make_app(gateway))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            document: dict[str, Any] = (await http.get("/openapi.json")).raise_for_status().json()
    schemas: dict[str, Any] = document["components"]["schemas"]
    return schemas


def main() -> int:
    """Exit status: 1 if `--check` finds a file stale."""
    written = files(asyncio.run(described()))
    stale = [name for name, text in written.items() if not _holds(FOLDER / name, text)]
    if "--check" in sys.argv[1:]:
        print(
            f"stale: {', '.join(stale)}; run `python client/generate.py`" if stale else "the client's types are fresh"
        )
        return 1 if stale else 0
    for name in stale:
        (FOLDER / name).write_text(written[name])
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
