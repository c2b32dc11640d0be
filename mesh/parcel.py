"""Carries a picture to another process and arrays back, through memory that has no name and can't be left behind."""

import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process sends back: an object, and the lengths of its arrays, which lie in the parcel's memory."""

    pickled: bytes
    lengths: Sequence[int]


class Parcel:
    """A picture in memory that both processes see; a context manager, after which the memory is gone.

    Pipes carry 64 kB at a time, which for megabytes of pixels costs more than decoding them does; and a process that
    is killed in the middle of a long message spoils the pipe for others.

    Args:
        content: the file.
        field: name of the picture in the request.
    """

    def __init__(self, content: bytes, field: str) -> None:
        self._content = content
        self.field = field

    def __enter__(self) -> "Parcel":
        self._file = os.memfd_create("picture", os.MFD_CLOEXEC)
        try:
            _write(self._file, self._content, 0)
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def task(self, work: Callable[..., Any]) -> Callable[..., Answer]:
        """`work(content, ...)` for another process of the same user."""
        return partial(_answered, work, f"/proc/{os.getpid()}/fd/{self._file}", len(self._content))

    def opened(self, answer: Answer) -> Any:
        """The object that `work` returned; its arrays are copies, and may be changed."""
        at, buffers = 0, []
        for length in answer.lengths:
            buffer = bytearray(length)
            os.preadv(self._file, [buffer], at)
            buffers.append(buffer)
            at += length
        return pickle.loads(answer.pickled, buffers=buffers)


def _answered(work: Callable[..., Any], path: str, length: int, *args: Any, **named: Any) -> Answer:
    """Read the picture, run `work`, and put the arrays of its result where the picture was."""
    file = os.open(path, os.O_RDWR)
    try:
        made = work(_read(file, length), *args, **named)
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(made, protocol=5, buffer_callback=buffers.append)
        lengths, at = [], 0
        for buffer in buffers:
            with buffer.raw() as view:
                _write(file, view, at)
                lengths.append(view.nbytes)
            at += lengths[-1]
        return Answer(pickled, lengths)
    finally:
        os.close(file)


def _read(file: int, length: int) -> bytes:
    with os.fdopen(os.dup(file), "rb", buffering=0) as reader:
        return reader.read(length)


def _write(file: int, content: bytes | memoryview, at: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written
