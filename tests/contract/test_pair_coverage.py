"""Every route of every dialect has its pairs: what is answered when all is well, and when something is not."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import BaseRoute, Match, Route

from gateway.app.application import make_app
from gateway.dialects.enterprise.paths import PATHS
from gateway.dialects.scenario.routes import DETECT, NOT_ENABLED, ROUTES
from gateway.web.problem import KINDS
from tests.contract.conftest import Running
from tests.rigs.pairs import Pair, load, steps

Operation = tuple[str, str]
"""Method and path of a route."""

PAIRS = load()
# Where the links in answers lead, which pairs call by the names that they keep them under.
LINKS = {"image": "/controlmesh/v1/assets/x", "part_1": "/controlmesh/v1/uploads/x/parts/1"}
LINKS["part_2"] = LINKS["part_1"]
# Native operations that are never refused, and why.
NEVER_REFUSED: dict[Operation, str] = {
    ("GET", "/healthz"): "it says that the process runs",
    ("GET", "/metrics"): "it needs neither key nor rooms",
    ("GET", "/openapi.json"): "it needs neither key nor rooms",
    ("GET", "/docs"): "it needs neither key nor rooms",
    ("GET", "/controlmesh/v1/problems"): "it needs neither key nor rooms",
}
# Kinds of problems that no answer to a request in JSON shows.
NEVER_SEEN = {
    "cancelled": "whoever would see it has hung up",
    "internal": "it stands for faults that nobody knows of",
    "not-enabled": "the native API has no feature that can be switched off",
}
# Tools of the vendor's that need what is not built; every one of them is answered by the same line of code.
TOOLS_LIKE_OTHERS = set(NOT_ENABLED) - {"upscale", "remove-background", "controlnet-texture"} - {
    name for name in NOT_ENABLED if name.endswith("-ip-adapter")
}  # fmt: skip


def compared() -> Iterator[tuple[Pair, str, int]]:
    """Requests whose answers are compared: the request, its path as sent, the answer's status."""
    for pair in PAIRS:
        asked = [(pair, path) for path in pair["paths"]]
        asked += [(step, step["path"]) for when in ("first", "then") for step in steps(pair, when) if "answer" in step]
        for step, sent in asked:
            for name, link in LINKS.items():
                sent = sent.replace(f"{{{name}}}", link)
            yield (
                step,
                re.sub(r"\{\w+\}|\?.*", lambda found: "" if found[0][0] == "?" else "x", sent),
                step.get("status", 200),
            )


@pytest.fixture
def routes(mesh: Running) -> list[Route]:
    """All that the application answers."""

    def known(several: Any) -> Iterator[BaseRoute]:
        for route in several:
            inner = getattr(route, "original_router", None)
            yield from known(inner.routes) if inner is not None else [route]

    found = [route for route in known(make_app(mesh.gateway).routes) if isinstance(route, Route)]
    assert len(found) > 150
    return found


@pytest.fixture
def reached(routes: list[Route]) -> dict[Operation, set[int]]:
    """Statuses with which each operation is answered in the pairs."""
    found: dict[Operation, set[int]] = {}
    for step, path, status in compared():
        # As the edge reads them.
        path = re.sub("/{2,}", "/", path).rstrip("/") or "/"
        method = step.get("method", "POST")
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        route = next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)
        if route is not None:
            found.setdefault((method, route.path), set()).add(status)
    return found


async def test_every_operation_of_every_dialect_has_a_pair(
    routes: list[Route], reached: dict[Operation, set[int]]
) -> None:
    known = {(method, route.path) for route in routes for method in route.methods or ()}
    # FastAPI's own pages take HEAD beside GET; files are the only ones that tell clients so.
    known -= {(method, path) for method, path in known if method == "HEAD" and "/assets/" not in path}
    assert sorted(known - reached.keys()) == []


async def test_every_native_operation_is_shown_answered_and_refused(
    routes: list[Route], reached: dict[Operation, set[int]]
) -> None:
    native = {operation for operation in reached if operation[1].startswith(("/controlmesh/", "/openapi", "/docs"))}
    native |= {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}
    assert {operation for operation in native if min(reached[operation]) >= 400} == set()
    assert {operation for operation in native if max(reached[operation]) < 400} == NEVER_REFUSED.keys()


def test_every_spelling_of_the_enterprise_paths_has_a_pair() -> None:
    sent = {path.removesuffix("/x") for _, path, _ in compared()}
    assert sorted({path for paths in PATHS.values() for path in paths} - sent) == []


def test_every_tool_of_the_scenario_api_has_a_pair() -> None:
    sent = {path.removeprefix("/v1/generate/") for _, path, _ in compared() if path.startswith("/v1/generate/")}
    assert {*ROUTES, DETECT, *NOT_ENABLED} - sent == TOOLS_LIKE_OTHERS


def test_every_kind_of_problem_is_shown() -> None:
    shown = {step["answer"]["type"].rpartition("/")[2] for step, _, status in compared() if status >= 400
             and isinstance(step.get("answer"), dict) and "problems/" in step["answer"].get("type", "")}  # fmt: skip
    assert {kind.name for kind in KINDS} - shown == NEVER_SEEN.keys()


def test_every_dialect_that_tells_of_ends_shows_success_and_failure() -> None:
    told = [(pair["dialect"], pair["webhook"]) for pair in PAIRS if "webhook" in pair]
    for dialect, words in (("native", ("completed", "failed", "cancelled")), ("scenario", ("completed", "failed"))):
        events = {body["type"].rpartition(".")[2] for named, body in told if named == dialect}
        assert events >= set(words), dialect
    assert {body["status"] for named, body in told if named == "enterprise"} == {"success", "failed"}


def test_names_tell_pairs_of_a_dialect_apart() -> None:
    names = [(pair["dialect"], pair["name"]) for pair in PAIRS if "only_mesh" not in pair]
    assert len(set(names)) == len(names)
