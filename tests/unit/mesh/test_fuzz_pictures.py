"""Hostile files at the intake: a picture or a clear refusal, nothing else. `make fuzz` searches longer."""

import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.errors import InvalidInput
from mesh.pictures import MAX_PIXELS, MAX_SIDE, check, decode, sniff, upright_size
from tests.rigs.broken_pictures import broken, whole

MAGIC = (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8")
whole_files = pytest.mark.parametrize("content", whole().values(), ids=whole())


def taken(content: bytes) -> bool:
    """Whether the file was decoded; it may only be refused as InvalidInput, and the header may not lie."""
    # What Pillow finds odd in a file is not for the log of a service.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _, width, height = check(content)
            size = upright_size(content)
            pixels = decode(content)
        except InvalidInput as error:
            assert error.field == "image" and len(error.message) < 200
            return False
    assert (pixels.ndim, pixels.dtype, pixels.shape[2]) == (3, np.uint8, 3)
    assert pixels.shape[1::-1] == size and sorted(size) == sorted((width, height))
    assert pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS and max(pixels.shape[:2]) <= MAX_SIDE
    return True


@whole_files
def test_whole_files_are_taken(content: bytes) -> None:
    assert taken(content)


@given(content=broken())
def test_a_broken_file_is_a_picture_or_a_clear_refusal(content: bytes) -> None:
    taken(content)


@whole_files
def test_a_file_that_ends_early_is_no_crash(content: bytes) -> None:
    for end in range(len(content)):
        taken(content[:end])


@given(content=st.binary(max_size=400))
@example(content=b"")
def test_bytes_of_no_format_are_refused(content: bytes) -> None:
    assert not taken(content)


@given(
    st.sampled_from([b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8"]), st.binary(max_size=64)
)
def test_a_header_and_nothing_sensible_behind_it(magic: bytes, rest: bytes) -> None:
    head = sniff(magic + rest)
    assert head is None or (head[1] >= 0 and head[2] >= 0)
    assert not taken(magic + rest)
