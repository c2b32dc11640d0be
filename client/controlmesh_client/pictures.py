"""Input pictures in all supported forms, and pictures that the mesh returns."""

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
"""Prefixes of text that refers to a picture; other text is a path."""
_FORMATS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))
_Bytes = bytes


class Array(Protocol):
    """A NumPy array UINT8 [h, w], [h, w, 3] or [h, w, 4], or a Pillow image."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Picture:
    """A picture that the mesh returned.

    Attributes:
        bytes: the file.
        media_type: media type of the file; "" if unknown.
    """

    bytes: _Bytes = field(repr=False)
    media_type: str = ""

    def save(self, path: "str | os.PathLike[str]") -> Path:
        """Write the file unchanged, whatever the extension of `path`. Missing folders are created."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.bytes)
        return target

    def image(self) -> "Image":
        """The picture as a Pillow image; Pillow must be installed."""
        from PIL import Image

        return Image.open(io.BytesIO(self.bytes))


@dataclass(frozen=True)
class Asset:
    """A file stored by the mesh; it can be used as an input picture.

    Attributes:
        record: its record.
    """

    record: AssetRecordBody

    @property
    def id(self) -> str:
        """Id of the file."""
        return self.record["id"]

    @property
    def reference(self) -> str:
        """The reference to it for requests."""
        return f"asset:{self.id}"


AnyPicture = str | os.PathLike[str] | bytes | Picture | Asset | Array
"""Text (a path, a URL or `asset:ID`), a path, a file's bytes, a Picture or an Asset, a NumPy array, a Pillow image."""


def read(picture: AnyPicture) -> str | bytes:
    """The reference to a picture for a request, or the bytes of its file.

    Raises:
        OSError: the file can't be read.
        TypeError: not a picture, or an array other than UINT8 [h, w], [h, w, 3] or [h, w, 4].
        ImportError: an array, and Pillow to encode it is not installed.
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
    """A file as a data URL."""
    return f"data:{media_type(content) or 'image/png'};base64,{base64.b64encode(content).decode()}"


def from_data_url(url: str) -> bytes:
    """The file in a base64 data URL. ValueError."""
    return base64.b64decode(url.partition(",")[2], validate=True)


def media_type(content: bytes) -> str:
    """Media type of a file, from its first bytes; "" for types that the mesh does not accept."""
    return next((name for magic, name in _FORMATS if content.startswith(magic)), "")


def _encoded(array: Array) -> bytes:
    """A PNG file."""
    # It can be a Pillow image only if Pillow was imported before.
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
