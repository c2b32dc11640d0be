"""A gateway over rooms in small, and either client."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.client.both import KINDS, Both
from tests.contract.conftest import Running, Start, running

Connect = Callable[..., Both]


@pytest.fixture
async def gateway() -> AsyncIterator[Running]:
    """A gateway with default settings."""
    async with running() as served:
        yield served


@pytest.fixture
def start() -> Start:
    """Starts gateways with settings of the test's own."""
    return running


@pytest.fixture(params=KINDS)
def connect(request: Any) -> Connect:
    """Makes clients of the kind that the test is about."""
    return lambda url, key=None, **options: Both(request.param, url, key, **options)
