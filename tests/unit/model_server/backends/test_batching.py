"""Joining requests into one batch and dealing its rows out again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.backends.onnxruntime.batching import BatchError, alike, dealt, merged, numbers_of, rows_of


def request(rows: int, width: int = 3, start: float = 0.0) -> dict[str, np.ndarray]:
    x = np.arange(start, start + rows * width, dtype=np.float32).reshape(rows, width)
    return {"x": x, "row": x[:, :1]}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_every_request_gets_its_own_rows_back(rows: list[int]) -> None:
    requests = [request(count, start=100.0 * index) for index, count in enumerate(rows)]
    batch = merged(requests)
    assert rows_of(batch) == sum(rows)
    shares = dealt({"y": batch["x"] * 2, "z": batch["row"]}, rows)
    assert len(shares) == len(requests)
    for sent, got in zip(requests, shares, strict=True):
        np.testing.assert_array_equal(got["y"], sent["x"] * 2)
        np.testing.assert_array_equal(got["z"], sent["row"])


def test_the_size_of_a_request_is_that_of_one_row() -> None:
    assert numbers_of(request(1)) == numbers_of(request(5)) == 3 + 1
    assert numbers_of(request(2, width=9)) == 9 + 1


def test_a_single_request_is_not_copied() -> None:
    alone = request(4)
    assert merged([alone])["x"] is alone["x"]
    y = np.zeros((4, 2))
    assert dealt({"y": y}, [4])[0]["y"] is y


def test_shares_are_views() -> None:
    y = np.zeros((5, 2))
    assert all(np.shares_memory(share["y"], y) for share in dealt({"y": y}, [2, 3]))


def test_only_requests_of_one_shape_are_alike() -> None:
    requests = [request(1), request(2, width=4), request(3), {"x": np.zeros((1, 3)), "other": np.zeros((1, 1))}]
    assert alike(requests) == [[0, 2], [1], [3]]


@pytest.mark.parametrize("shape", [(), (1, 2), (4, 2)])
def test_an_output_without_the_batch_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(BatchError, match=r"output 'y' has shape .* for a batch of 3 rows"):
        dealt({"y": np.zeros(shape)}, [1, 2])
