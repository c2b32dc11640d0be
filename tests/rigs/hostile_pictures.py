"""Files that were made to hurt a decoder, or to say one thing and be another."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 56, 3), np.uint8)
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {}/></rdf:RDF></x:xmpmeta>'
)


def saved(picture: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(out, format, **options)
    return out.getvalue()


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes().removeprefix(b"Exif\0\0")


def xmp(orientation: int) -> bytes:
    return XMP.format(f'tiff:Orientation="{orientation}"').encode()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes, behind: bool = False, picture: np.ndarray = NOISE) -> bytes:
    """A PNG with further chunks: behind its header, or behind its pixels."""
    base = saved(picture, "PNG")
    at = len(base) - 12 if behind else 33
    return base[:at] + b"".join(chunks) + base[at:]


def itxt(packet: bytes, *, packed: bool = False) -> bytes:
    body = zlib.compress(packet) if packed else packet
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes([packed]) + b"\0\0\0" + body)


def raw_profile(block: bytes, name: bytes = b"exif") -> bytes:
    """As ImageMagick writes EXIF into older PNGs."""
    text = b"\n" + name + b"\n%8d\n" % len(block) + block.hex().encode() + b"\n"
    return chunk(b"zTXt", b"Raw profile type " + name + b"\0\0" + zlib.compress(text))


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_with(*segments: bytes, picture: np.ndarray = NOISE, **options: object) -> bytes:
    """A JPEG with further segments behind its start."""
    base = saved(picture, "JPEG", **options)
    return base[:2] + b"".join(segments) + base[2:]


def jpeg_of_scans(scans: int, side: int = 0) -> bytes:
    """A progressive JPEG whose last scan is repeated; each costs a decoder a pass over the whole picture."""
    picture = Image.new("L", (side, side)) if side else Image.fromarray(NOISE).convert("L")
    base = saved(picture, "JPEG", progressive=True)
    last = base.rindex(b"\xff\xda")
    own = base.count(b"\xff\xda")
    return base[:-2] + base[last:-2] * (scans - own) + base[-2:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(k + struct.pack("<I", len(b)) + b + b"\0" * (len(b) & 1) for k, b in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def webp_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 12
    while at + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, at + 4)
        found.append((content[at : at + 4], content[at + 8 : at + 8 + length]))
        at += 8 + length + (length & 1)
    return found


def canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def webp_with(*chunks: tuple[bytes, bytes], flags: int = 0, picture: np.ndarray = NOISE) -> bytes:
    """An extended WebP with further chunks behind its pixels."""
    pixels = [part for part in webp_chunks(saved(picture, "WEBP", lossless=True)) if part[0] == b"VP8L"]
    return riff(canvas(picture.shape[1], picture.shape[0], flags), *pixels, *chunks)
