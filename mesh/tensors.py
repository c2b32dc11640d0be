"""Convert between tensor messages and NumPy arrays."""

import math

import numpy as np
from numpy.typing import NDArray

from controlmesh.v1 import types_pb2
from mesh.errors import InvalidInput

DTYPES: dict[int, np.dtype[np.generic]] = {
    types_pb2.D_TYPE_UINT8: np.dtype("<u1"),
    types_pb2.D_TYPE_INT64: np.dtype("<i8"),
    types_pb2.D_TYPE_FLOAT16: np.dtype("<f2"),
    types_pb2.D_TYPE_FLOAT32: np.dtype("<f4"),
}
_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


def to_message(array: NDArray[np.generic]) -> types_pb2.Tensor:
    """Convert `array`, whose dtype is one of DTYPES, to a message."""
    return types_pb2.Tensor(
        dtype=_NUMBERS[array.dtype],  # type: ignore[arg-type]
        shape=array.shape,
        content=np.ascontiguousarray(array).tobytes(),
    )


def to_array(tensor: types_pb2.Tensor, *, field: str, ndim: int, dtype: str = "float32") -> NDArray[np.generic]:
    """Convert the message to a read-only array that shares its bytes.

    Args:
        tensor: the message.
        field: its name in the request, for the error.
        ndim: number of dimensions expected.
        dtype: NumPy name of the element type expected.

    Raises:
        InvalidInput: an unexpected dtype or rank, a dimension below 1, or a length that does not match the shape.
    """
    kind = DTYPES.get(tensor.dtype)
    shape = tuple(tensor.shape)
    if kind is None or kind.name != dtype:
        raise InvalidInput(f"{field} must be a {dtype} tensor", field=field)
    if len(shape) != ndim or any(size < 1 for size in shape):
        raise InvalidInput(f"{field} must have {ndim} dimensions of at least 1, not {list(shape)}", field=field)
    if math.prod(shape) * kind.itemsize != len(tensor.content):
        size = len(tensor.content)
        raise InvalidInput(
            f"{field} has {size} bytes, which does not match shape {list(shape)} of {dtype}", field=field
        )
    return np.frombuffer(tensor.content, kind).reshape(shape)
