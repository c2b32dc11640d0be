"""Codes made from words, read back by OpenCV's reader."""

import cv2
import numpy as np
import pytest

from mesh.errors import InvalidInput
from mesh.pictures import encode
from preprocess_svc.controls.qrcode import QRCODE
from preprocess_svc.hints import Wish
from tests.rigs.hints import made, make_hint

WRITTEN = next(extractor for extractor in QRCODE.extractors if extractor.name == "text")
TEXTS = {
    "digit": "1",
    "word": "hello",
    "address": "https://example.org/find?size=512&of=a%20star#top",
    "capitals": "HELLO WORLD $%*+-./:",
    "digits": "0123456789" * 3,
    "accents": "crème brûlée",
    "japanese": "日本語テスト",
    "emoji": "😀 and 🦊",
    "lines": "BEGIN:VCARD\nN:Doe;Jo\n\tEND:VCARD",
    "space": " ",
}

# OpenCV's reader fails on a few codes that others read, whatever the size; on these it doesn't.
SEEDS = (14, 1, 2, 3)


def written(text: str, size: tuple[int, int], **parameters: float) -> np.ndarray:
    return made(Wish("qrcode", text=text, parameters=parameters), size).pixels


def readings(hint: np.ndarray) -> set[str]:
    """What OpenCV's reader sees, as with a phone held at several distances: at some of them it finds nothing."""
    found = set()
    for factor in (1.0, 0.5, 0.75, 1.5, 2.0, 3.0):
        held = cv2.resize(hint, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        found.add(cv2.QRCodeDetector().detectAndDecode(held)[0])
    return found - {""}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("size", [(128, 128), (512, 512), (768, 520)], ids=str)
def test_the_code_says_the_text(text: str, size: tuple[int, int]) -> None:
    hint = written(text, size)
    assert hint.shape == (size[1], size[0], 3) and hint.dtype == np.uint8
    assert set(np.unique(hint)) <= {0, 128, 255}
    assert readings(hint) == {text}


@pytest.mark.parametrize(("level", "length"), [(0, 858), (1, 666), (2, 482), (3, 382)])
def test_the_longest_text_is_read_and_one_more_is_refused(level: int, length: int) -> None:
    text = "".join(chr(97 + letter) for letter in np.random.default_rng(SEEDS[level]).integers(0, 26, length))
    hint = written(text, (1024, 1024), error_correction=level)
    assert readings(hint) == {text}
    with pytest.raises(InvalidInput, match="97 modules per side") as error:
        written(text + "z", (1024, 1024), error_correction=level)
    assert error.value.field == "control.text"


def test_a_size_that_is_too_small_names_what_fits() -> None:
    with pytest.raises(
        InvalidInput, match="41 modules per side including its quiet zone, and only 32 of 2 pixels"
    ) as error:
        written("https://example.org/a?b=c#d", (256, 64))
    assert error.value.field == "control.text"
    narrow = written("https://example.org/a?b=c#d", (256, 64), error_correction=1, quiet_zone=1)
    assert readings(np.pad(narrow, ((20, 20), (0, 0), (0, 0)), constant_values=255))


def test_modules_are_whole_squares_in_the_middle() -> None:
    hint = written("hello", (1024, 768))  # 21 modules and a quiet zone of 4: 29 of 16 pixels
    assert (hint == hint[..., :1]).all()
    code = hint[152:616, 280:744, 0]
    around = hint[..., 0].copy()
    around[152:616, 280:744] = 128
    assert (around == 128).all()
    modules = code[8::16, 8::16]
    assert modules.shape == (29, 29)
    np.testing.assert_array_equal(np.kron(modules, np.ones((16, 16), np.uint8)), code)
    assert (modules[:4] == 255).all() and (modules[:, -4:] == 255).all()
    corner = np.zeros((7, 7), np.uint8)  # the standard's finder pattern
    corner[1:6, 1:6] = 255
    corner[2:5, 2:5] = 0
    for at in (modules[4:11, 4:11], modules[4:11, 18:25], modules[18:25, 4:11]):
        np.testing.assert_array_equal(at, corner)
    assert modules[17, 12] == 0  # the standard's one module that is always dark


def test_parameters_change_the_code() -> None:
    # 18 bytes fit into 25 modules at level L and into 29 at level H.
    for level, modules in ((0, 25), (3, 29)):
        code = written("hello world, hello", (512, 512), error_correction=level, quiet_zone=0, module_size=4)
        assert (code != 128).all(axis=2).sum() == (modules * 4) ** 2
    assert (written("hello", (512, 512), quiet_zone=0, module_size=4) != 128).all(axis=2).sum() == (21 * 4) ** 2
    assert (written("hello", (512, 512), module_size=128) != 128).all(axis=2).sum() == (29 * (512 // 29)) ** 2


def test_a_code_survives_what_its_level_promises() -> None:
    def torn(hint: np.ndarray) -> np.ndarray:
        hint = hint.copy()
        hint[250:330, 250:330] = 255  # 5 by 5 modules of 29, beside the finder patterns
        return hint

    assert readings(torn(written("hello", (512, 512), error_correction=3))) == {"hello"}


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfff"])
def test_what_no_code_can_say_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="without NUL") as error:
        written(text, (512, 512))
    assert error.value.field == "control.text"


def test_words_and_pictures_don_t_mix() -> None:
    picture = encode(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InvalidInput, match="either text or a picture") as error:
        made(Wish("qrcode", content=picture, text="hello"), (64, 64), "controls[2]")
    assert error.value.field == "controls[2].text"
    with pytest.raises(InvalidInput, match="can't be made from text: send a picture; kinds made from text: qrcode"):
        made(Wish("canny", text="hello"), (64, 64))
    with pytest.raises(InvalidInput, match="1001 characters; at most 1000"):
        made(Wish("qrcode", text="x" * 1001), (64, 64))
    with pytest.raises(InvalidInput, match="send text"):
        made(Wish("qrcode", content=picture, extractor="text"), (64, 64))


@pytest.mark.parametrize("auto_hint", [True, False])
def test_a_ready_code_is_fitted_with_crisp_edges(auto_hint: bool) -> None:
    code = written("hello", (512, 512), module_size=3, quiet_zone=4)[212:299, 212:299]
    for size in ((512, 512), (80, 80), (256, 640)):
        fitted = make_hint("qrcode", encode(np.ascontiguousarray(code)), auto_hint, {}, size)
        assert set(np.unique(fitted)) == {0, 255}
    assert readings(make_hint("qrcode", encode(np.ascontiguousarray(code)), auto_hint, {}, (512, 512))) == {"hello"}


def test_the_same_words_make_the_same_code() -> None:
    np.testing.assert_array_equal(written("hello", (256, 256)), written("hello", (256, 256)))
    assert made(Wish("qrcode", text="hello"), (256, 256)).extractor == WRITTEN.name
