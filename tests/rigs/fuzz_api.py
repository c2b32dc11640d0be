"""Requests by the thousand against the native API, made from its own description:
`python -m tests.rigs.fuzz_api --cases N`.

Half of them are as the description says and half break it somewhere. Every answer must be as the description says, and
none may be a fault of the service. Ids of what was made before are put into paths, so that not all of them miss.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import schemathesis
import typer
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.contract.conftest import running

CHECKS = (not_a_server_error, content_type_conformance, response_schema_conformance)
# What is made, and where its id belongs.
KINDS = {"/controlmesh/v1/generations": "generations", "/controlmesh/v1/assets": "assets"}


class Fuzz:
    """A run against the gateway at `url`, whose description is `document`.

    Args:
        url: without a slash at its end.
        document: OpenAPI.
        anew: whether each run is another one.
    """

    def __init__(self, url: str, document: dict[str, Any], anew: bool) -> None:
        self._url = url
        self._schema = schemathesis.openapi.from_dict(document)
        self._rng = random.Random(None if anew else 7)
        self._made: dict[str, list[str]] = {kind: [] for kind in KINDS.values()}
        self.statuses: Counter[int] = Counter()

    def run(self, cases: int) -> None:
        """At least `cases` requests, of every operation, right and wrong; raises at the first bad answer.

        Those of which there are few different ones leave their share to the others, in rounds.
        """
        operations = [result.ok() for result in self._schema.get_all_operations()]
        ways = [(operation, mode) for operation in operations for mode in GenerationMode]
        while (missing := cases - self.statuses.total()) > 0:
            for operation, mode in ways:
                # An operation without a parameter can't be asked wrongly.
                with suppress(Unsatisfiable):
                    self._try(operation.as_strategy(generation_mode=mode), -(-missing // len(ways)))

    def _try(self, strategy: Any, examples: int) -> None:
        @seed(self._rng.getrandbits(64))
        @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(strategy)
        def ask(case: schemathesis.Case) -> None:
            self._prepare(case)
            response = case.call(base_url=self._url)
            self.statuses[response.status_code] += 1
            case.validate_response(response, checks=list(CHECKS))
            kind = KINDS.get(case.path) if case.method == "POST" else None
            if kind and response.status_code < 300:
                self._made[kind].append(response.json()["id"])

        ask()

    def _prepare(self, case: schemathesis.Case) -> None:
        if isinstance(case.body, dict):
            # Nobody outside is to be told of tests.
            case.body.pop("webhook", None)
        for path, kind in KINDS.items():
            if case.path.startswith(f"{path}/{{id}}") and self._made[kind] and self._rng.random() < 0.5:
                case.path_parameters = {**case.path_parameters, "id": self._rng.choice(self._made[kind])}


async def fuzz(cases: int, anew: bool) -> Mapping[int, int]:
    """A gateway over rooms in small, asked `cases` times; how often each status was answered."""
    async with running(fetch_timeout_s=1.0) as mesh, mesh.http.get("/openapi.json") as response:
        run = Fuzz(mesh.url, await response.json(), anew)
        await asyncio.to_thread(run.run, cases)
        return run.statuses


def main(
    cases: Annotated[int, typer.Option(help="Requests in all.")] = 10_000,
    anew: Annotated[bool, typer.Option(help="Other requests at every run.")] = True,
) -> None:
    """Ask the native API what its description allows, and what it does not."""
    statuses = asyncio.run(fuzz(cases, anew))
    for status, count in sorted(statuses.items()):
        print(f"{status}  {count}")
    print(f"{sum(statuses.values())} requests, no fault of the service, every answer as described")


if __name__ == "__main__":
    typer.run(main)
