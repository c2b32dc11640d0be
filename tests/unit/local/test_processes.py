"""What the processes of a mesh on one machine are given."""

from pathlib import Path

import pytest

from local.processes import processes
from local.settings import LocalSettings

KEYLESS, ALWAYS = "CN_GATEWAY_FETCH_ALLOW_KEYLESS", "CN_GATEWAY_FETCH_ALLOW"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "127.0.0.1:*,localhost:*"),
        # Keys may come while the mesh runs: the gateway itself knows whether they are asked for.
        ({"CN_GATEWAY_API_KEYS": "mine"}, "127.0.0.1:*,localhost:*"),
        ({ALWAYS: ""}, None),
        ({ALWAYS: "10.0.0.1:80"}, None),
        ({f"{ALWAYS}_FILE": "/a/file"}, None),
        ({KEYLESS: "127.0.0.1:9000"}, None),
    ],
)
def test_loopback_is_fetched_from_only_while_no_key_is_asked_for(
    tmp_path: Path, environ: dict[str, str], expected: str | None
) -> None:
    for process in processes(LocalSettings(), tmp_path, environ):
        assert process.environment.get(KEYLESS) == expected
        assert ALWAYS not in process.environment
