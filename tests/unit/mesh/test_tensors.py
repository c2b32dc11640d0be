import numpy as np
import pytest

from controlmesh.v1 import types_pb2
from mesh.errors import InvalidInput
from mesh.tensors import to_array, to_message


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32"])
def test_round_trip(dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    np.testing.assert_array_equal(to_array(to_message(array), field="x", ndim=3, dtype=dtype), array)


def test_a_transposed_view_keeps_its_meaning() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1)
    np.testing.assert_array_equal(to_array(to_message(array), field="x", ndim=3, dtype="uint8"), array)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (types_pb2.Tensor(dtype=types_pb2.D_TYPE_UINT8, shape=[4], content=b"abcd"), "float32"),
        (types_pb2.Tensor(shape=[1], content=b"abcd"), "float32"),
        (types_pb2.Tensor(dtype=types_pb2.D_TYPE_FLOAT32, shape=[1, 1], content=b"abcd"), "dimensions"),
        (types_pb2.Tensor(dtype=types_pb2.D_TYPE_FLOAT32, shape=[-1], content=b"abcd"), "dimensions"),
        (types_pb2.Tensor(dtype=types_pb2.D_TYPE_FLOAT32, shape=[2**40], content=b"abcd"), "bytes"),
        (types_pb2.Tensor(dtype=types_pb2.D_TYPE_FLOAT32, shape=[2], content=b"abcd"), "bytes"),
    ],
)
def test_what_does_not_fit_is_refused(message: types_pb2.Tensor, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        to_array(message, field="latents", ndim=1)
