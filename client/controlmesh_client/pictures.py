"""Pictures on their way in, in whatever form a program has them, and on their way out."""

import base64
import io
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from controlmesh_client.schema import AssetRecordBody

if TYPE_CHECKING:
    from PIL.Image import Image

REFERENCES = ("asset:", "http://", "https://", "data:")
"""What text begins with that stands for a picture; other text is a path."""
_FORMATS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))
_Bytes = bytes


class Array(Protocol):
    """A NumPy array UINT8 [h, w], [h, w, 3] or [h, w, 4], or a Pillow image."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Picture:
    """A picture that the mesh gave.

    Attributes:
        bytes: the file.
        media_type: of the file, "" where it was not named.
    """

    bytes: _Bytes = field(repr=False)
    media_type: str = ""

    def save(self, path: "str | os.PathLike[str]") -> Path:
        """Write the file, as it is: the ending of `path` changes nothing. Its folder is made where there is none."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.bytes)
        return target

    def image(self) -> "Image":
        """As an image of Pillow, which must be installed."""
        from PIL import Image

        return Image.open(io.BytesIO(self.bytes))


@dataclass(frozen=True)
class Asset:
    """A file that the mesh keeps; it can be named wherever a picture is asked for.

    Attributes:
        record: what the mesh knows of it.
    """

    record: AssetRecordBody

    @property
    def id(self) -> str:
        """Of the file."""
        return self.record["id"]

    @property
    def reference(self) -> str:
        """What stands for it in a request."""
        return f"asset:{self.id}"


AnyPicture = str | os.PathLike[str] | bytes | Picture | Asset | Array
"""A path, a URL or `asset:ID` as text; a path; a file's bytes; what the mesh gave; a NumPy array or a Pillow image."""


def read(picture: AnyPicture) -> str | bytes:
    """What stands for a picture in a request, or the bytes of its file.

    Raises:
        OSError: the file can't be read.
        TypeError: no picture, or an array of another type or shape than UINT8 [h, w], [h, w, 3] or [h, w, 4].
        ImportError: an array, and no Pillow to encode it with.
    """
    if isinstance(picture, str):
        return picture if picture.lower().startswith(REFERENCES) else Path(picture).read_bytes()
    if isinstance(picture, os.PathLike):
        return Path(picture).read_bytes()
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if isinstance(picture, Picture):
        return picture.bytes
    if isinstance(picture, Asset):
        return picture.reference
    if hasattr(picture, "__array_interface__"):
        return _encoded(picture)
    raise TypeError(f"a picture is a path, URL, bytes, array, Pillow image or asset, not {type(picture).__name__}")


def data_url(content: bytes) -> str:
    """A file as text that stands for it in a request."""
    return f"data:{media_type(content) or 'image/png'};base64,{base64.b64encode(content).decode()}"


def from_data_url(url: str) -> bytes:
    """The file in a data URL of base64. ValueError."""
    return base64.b64decode(url.partition(",")[2], validate=True)


def media_type(content: bytes) -> str:
    """Of a file, as its first bytes tell it; "" for other files than the mesh takes."""
    return next((name for magic, name in _FORMATS if content.startswith(magic)), "")


def _encoded(array: Array) -> bytes:
    """A PNG file."""
    # An image of Pillow is one only where Pillow was imported before.
    pillow: Any = sys.modules.get("PIL.Image")
    if pillow is None or not isinstance(array, pillow.Image):
        shape, kind = array.__array_interface__["shape"], array.__array_interface__["typestr"]
        if kind != "|u1" or not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))):
            raise TypeError(f"an array of a picture is uint8 [h, w], [h, w, 3] or [h, w, 4], not {kind} {list(shape)}")
        from PIL import Image

        array = Image.fromarray(array)
    file = io.BytesIO()
    save: Any = getattr(array, "save")  # noqa: B009
    save(file, "PNG")
    return file.getvalue()
