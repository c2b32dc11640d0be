"""What a picture costs at the intake: in this process as it was before, and in a process of its own as it is now.

    python -m benchmarks.intake                                # print the table
    python -m benchmarks.intake --write docs/intake_benchmark.md

Both sides decode the same files and fit them to 512 pixels, in turns; the fitted pixels are compared. Milliseconds are
wall time, that of the process's answer included. A peak is what the process that decodes holds at its highest (VmHWM)
above what it held before; each is measured in a fresh process.
"""

import argparse
import asyncio
import ctypes
import io
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps

from mesh.decoders import Decoders, DecoderSettings
from mesh.pictures import Pixels, decode_fitted, encode_as, resize

if TYPE_CHECKING:
    from benchmarks.mesh import Row

SIDE, FITTED = 1024, 512
ROUNDS = 40
_M_MMAP_THRESHOLD, _USUAL = -3, 16 << 20


def files(side: int = SIDE) -> dict[str, bytes]:
    """Name -> a file of a scene with the grain of a photo."""
    # Here, because processes that decode import this file, and need nothing of models.
    from benchmarks.hints import photo as graded

    photo = cv2.resize(graded(256), (side, side), interpolation=cv2.INTER_CUBIC)
    clear = np.dstack([photo, np.full((side, side), 255, np.uint8)])
    clear[: side // 4, :, 3] = 0
    progressive = io.BytesIO()
    Image.fromarray(photo).save(progressive, "JPEG", quality=92, progressive=True)
    return {
        "PNG": encode_as(photo, "PNG"),
        "PNG, transparent": encode_as(clear, "PNG"),
        "JPEG": encode_as(photo, "JPEG"),
        "JPEG, progressive": progressive.getvalue(),
        "WebP": encode_as(photo, "WEBP"),
    }


def before(content: bytes) -> Pixels:
    """Decode and fit as the services did in their own process."""
    with Image.open(io.BytesIO(content), formats=["PNG", "JPEG", "WEBP"]) as picture:
        upright = ImageOps.exif_transpose(picture)
        if "A" in upright.getbands() or "transparency" in upright.info:
            layer = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        return resize(np.asarray(upright.convert("RGB")), FITTED, FITTED)


def now(content: bytes) -> Pixels:
    """What a decoder process does."""
    return decode_fitted(content, FITTED, FITTED)


def peak(work: Callable[[bytes], Pixels], content: bytes, small: bytes) -> int:
    """Bytes that `work` takes for `content` at its highest, in a child of this process; `small` wakes the codec."""
    ours, child_s = os.pipe()
    child = os.fork()
    if child == 0:
        work(small)
        Path("/proc/self/clear_refs").write_text("5")  # the highest begins anew
        held = _status("VmRSS")
        work(content)
        os.write(child_s, str(_status("VmHWM") - held).encode())
        os._exit(0)
    os.close(child_s)
    with os.fdopen(ours) as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return int(told)


def _status(name: str) -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


async def measured(rounds: int) -> "list[Row]":
    """Rows of the table: file, milliseconds and bytes a pixel of both sides."""
    # Small files to wake codecs; from here on what is freed goes back, so that it does not hide what is taken next.
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 16)
    sent, small = files(), files(64)
    peaks = {name: [peak(side, content, small[name]) for side in (before, now)] for name, content in sent.items()}
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _USUAL)
    decoders = Decoders(DecoderSettings())
    await decoders.start()
    rows: list[Row] = []
    for name, content in sent.items():
        took: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            began = time.perf_counter()
            theirs = await asyncio.to_thread(before, content)
            middle = time.perf_counter()
            ours = await decoders.run(now, content, "image")
            took[0].append(middle - began)
            took[1].append(time.perf_counter() - middle)
        if not np.array_equal(theirs, ours):
            raise SystemExit(f"{name}: the pixels differ")
        first, second = (1000 * statistics.median(side) for side in took)
        ratio = statistics.median(b / a for a, b in zip(*took, strict=True))
        small, large = peaks[name][1] / SIDE**2, peaks[name][0] / SIDE**2
        rows.append(
            (name, f"{len(content) // 1024} | {first:.1f} | {second:.1f} | **{ratio:.2f}** | {large:.1f} | {small:.1f}")
        )
    await decoders.close()
    return rows


def page(rows: "list[Row]") -> str:
    """The page with the table."""
    from benchmarks.mesh import table

    head = "file | kB | before, ms | now, ms | now / before | before, peak bytes a pixel | now, peak bytes a pixel"
    return (
        "# Pictures at the intake\n\n"
        f"Written by `make bench-intake` on {date.today():%d %B %Y}. {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; load average {os.getloadavg()[0]:.1f}.\n\n"
        f"A picture of {SIDE} px is decoded and fitted to {FITTED} px: before, in the service's own process by Pillow "
        "alone; now,\nin a process with limits that can be ended, and only the fitted pixels come back. Both in turns "
        f"in one run,\nmedians; the fitted pixels are equal. Peaks are VmHWM of the process that "
        "decodes, above what it held before.\n\n" + table(head, rows) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="file for the page; without it the page is printed")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    text = page(asyncio.run(measured(asked.rounds)))
    if asked.write:
        asked.write.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
