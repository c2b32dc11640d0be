"""Where requests a minute are counted."""

from typing import Any

import pytest
from limits.errors import StorageError
from limits.storage import MemoryStorage

from gateway.keys.limits import Limits
from mesh.errors import TooOften
from mesh.settings import SettingsError


class Shared(MemoryStorage):
    """A storage that several processes could share, under a URL; limits' own table of storages takes it up."""

    STORAGE_SCHEME = ("shared-for-test",)
    _known: dict[str, "Shared"] = {}  # noqa: RUF012

    def __new__(cls, uri: str, **options: Any) -> "Shared":
        return cls._known.setdefault(uri, super().__new__(cls))

    def __init__(self, uri: str, **options: Any) -> None:
        if not hasattr(self, "storage"):
            super().__init__(uri, **options)


class Away(MemoryStorage):
    """A storage that answers nothing."""

    STORAGE_SCHEME = ("away-for-test",)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        raise StorageError(ConnectionError("refused"))


def spend(limits: Limits, per_minute: int) -> int:
    """Requests that are taken until one is refused."""
    for taken in range(3 * per_minute):
        try:
            limits.count("k_1", per_minute)
        except TooOften:
            return taken
    raise AssertionError("there is no bound")


def test_each_process_counts_alone_unless_told() -> None:
    first, second = Limits(), Limits()
    assert spend(first, 20) in (20, 21) and spend(second, 20) in (20, 21)


def test_a_shared_storage_counts_for_all() -> None:
    first, second = Limits("shared-for-test://here"), Limits("shared-for-test://here")
    assert spend(first, 20) in (20, 21) and spend(second, 20) <= 1


def test_without_its_storage_a_process_counts_alone() -> None:
    assert spend(Limits("away-for-test://"), 20) in (20, 21)


@pytest.mark.parametrize("url", ["nonsense", "redis-of-mine://secret@host", "memcached://secret@host"])
def test_a_storage_that_can_not_be_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="CN_GATEWAY_LIMITS_URL") as refused:
        Limits(url)
    assert "secret" not in str(refused.value)
