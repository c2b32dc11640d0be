"""Resident memory that pieces of work take at their highest, measured in processes of their own.

`python -m tests.rigs.peak_memory NAME...` prints {name: bytes above what the process held before}; names as in DECODES,
EXTRACTORS and READY, all of them if none is given.
"""

import ctypes
import io
import json
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mesh.pictures import MAX_PIXELS, decode
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm, Written

#: Bytes a pixel that a picture may take at its highest while it is decoded, beside its file and that without metadata.
DECODE_BYTES = 10
#: Bytes that a control may take while it makes its hint, as a multiple of 4 bytes a pixel.
MEMORY_FACTOR = 10

_CODEC_BYTES = 2 << 20
_M_MMAP_THRESHOLD = -3

CONTROL_SIDE, DECODE_SIDE = 1024, 4096
assert DECODE_SIDE**2 == MAX_PIXELS

_TURNED = Image.Exif()
_TURNED[0x0112] = 6

_FILES: dict[str, tuple[str, str, dict[str, object]]] = {
    "decode png": ("RGB", "PNG", {"compress_level": 1}),
    "decode png alpha": ("RGBA", "PNG", {"compress_level": 1}),
    "decode png grey alpha": ("LA", "PNG", {"compress_level": 1}),
    "decode png 16 bit": ("I;16", "PNG", {"compress_level": 1}),
    "decode png transparent palette": ("P", "PNG", {"compress_level": 1, "transparency": 3}),
    "decode png turned": ("RGB", "PNG", {"compress_level": 1, "exif": _TURNED}),
    "decode jpeg": ("RGB", "JPEG", {}),
    "decode jpeg progressive": ("RGB", "JPEG", {"progressive": True}),
    "decode jpeg progressive fine": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    "decode jpeg cmyk": ("CMYK", "JPEG", {}),
    "decode webp": ("RGB", "WEBP", {"method": 0}),
    "decode webp alpha": ("RGBA", "WEBP", {"method": 0}),
    "decode webp lossless": ("RGB", "WEBP", {"method": 0, "lossless": True, "quality": 0}),
    "decode webp lossless alpha": ("RGBA", "WEBP", {"method": 0, "lossless": True, "quality": 0}),
}
DECODES = tuple(_FILES)
EXTRACTORS = tuple(
    f"{kind} {one.name}"
    for kind, control in CONTROLS.items()
    for one in control.extractors
    if isinstance(one, Algorithm | Written)
)
READY = tuple(f"{kind} ready" for kind in CONTROLS)

Work = Callable[[], object]


def allowed(name: str) -> int:
    """Bytes that `name` may take."""
    if name in _FILES:
        # Beside the pixels: the file without metadata, and what a codec keeps whatever the size.
        return DECODE_BYTES * DECODE_SIDE**2 + len(_file(name, DECODE_SIDE)) + _CODEC_BYTES
    return MEMORY_FACTOR * 4 * CONTROL_SIDE**2


@cache
def _file(name: str, side: int) -> bytes:
    mode, format, options = _FILES[name]
    ramp = np.arange(side * side, dtype=np.uint32).reshape(side, side)
    if mode == "I;16":
        picture = Image.fromarray((ramp // 7).astype(np.uint16))
    else:
        colour = np.dstack([ramp >> 4, ramp >> 9, ramp >> 14, ramp >> 3]).astype(np.uint8)
        clear = Image.fromarray(colour)
        picture = clear.convert(mode) if mode != "P" else clear.convert("L").convert("P")
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


def _work(name: str, small: bool) -> Work:
    if name in _FILES:
        content = _file(name, 64 if small else DECODE_SIDE)
        return lambda: decode(content)
    kind, extractor = name.split(" ", 1)
    side = 64 if small else CONTROL_SIDE
    draw = np.random.default_rng(1)
    picture = cv2.GaussianBlur(draw.integers(0, 256, (side, side, 3), np.uint8), (0, 0), 1.5)
    if extractor == "ready":
        return lambda: CONTROLS[kind].ready.put_right(kind, picture)
    one = next(one for one in CONTROLS[kind].extractors if one.name == extractor)
    most = {p.name: p.maximum for p in one.parameters}
    if isinstance(one, Written):
        return lambda: one.write("1", (side, side), {p.name: p.default for p in one.parameters})
    assert isinstance(one, Algorithm)
    # Both what is usual and what asks for most.
    return lambda: (one.extract(picture, one.settle(kind, {})), one.extract(picture, most))


def _status(field: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def _peak(name: str) -> int:
    """Bytes, in a child of this process, whose highest is its own."""
    ours, child_s = os.pipe()
    child = os.fork()
    if child == 0:
        # What was freed stays with the process otherwise, and hides what is taken next.
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 16)
        _work(name, small=True)()
        work = _work(name, small=False)
        Path("/proc/self/clear_refs").write_text("5")  # the highest begins anew
        before = _status("VmRSS")
        kept = work()
        os.write(child_s, str(_status("VmHWM") - before).encode())
        del kept
        os._exit(0)
    os.close(child_s)
    with os.fdopen(ours) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return int(text)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    json.dump({name: _peak(name) for name in sys.argv[1:] or (*DECODES, *EXTRACTORS, *READY)}, sys.stdout)
