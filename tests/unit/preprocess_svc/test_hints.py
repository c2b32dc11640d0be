import io

import cv2
import numpy as np
import pytest
from PIL import Image

from families.annotators import HEADS
from mesh.errors import InvalidInput
from mesh.pictures import encode
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm, Extractor, Learned
from tests.rigs.hints import make_hint

SQUARE = np.full((64, 96, 3), 30, np.uint8)
SQUARE[16:48, 24:72] = (220, 60, 40)


def test_canny_is_opencv_s_on_rgb() -> None:
    hint = make_hint("canny", encode(SQUARE), True, {"low_threshold": 60, "high_threshold": 140}, (96, 64))
    np.testing.assert_array_equal(hint, np.repeat(cv2.Canny(SQUARE, 60, 140)[..., None], 3, 2))
    assert set(np.unique(hint)) == {0, 255}


def test_thresholds_change_the_map() -> None:
    faint = np.full((64, 64, 3), 100, np.uint8)
    faint[:, 32:] = 120
    sensitive = make_hint("canny", encode(faint), True, {"low_threshold": 5, "high_threshold": 10}, (64, 64))
    assert sensitive.any()
    assert not make_hint("canny", encode(faint), True, {}, (64, 64)).any()


def test_the_picture_is_fitted_before_its_edges_are_taken() -> None:
    hint = make_hint("canny", encode(SQUARE), True, {}, (192, 128))
    assert hint.shape == (128, 192, 3)
    assert set(np.unique(hint)) == {0, 255}


def test_a_ready_map_is_only_fitted_as_diffusers_does() -> None:
    ramp = np.repeat(np.linspace(0, 255, 96).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    np.testing.assert_array_equal(make_hint("depth", encode(ramp), False, {}, (96, 64)), ramp)
    fitted = make_hint("depth", encode(ramp), False, {}, (48, 64))
    expected = np.asarray(Image.open(io.BytesIO(encode(ramp))).resize((48, 64), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(fitted, expected)


@pytest.mark.parametrize(
    ("kind", "auto_hint", "parameters", "words"),
    [
        ("depth", True, {}, "send a ready hint with auto_hint off"),
        ("telepathy", True, {}, f"known: {', '.join(sorted(CONTROLS))}$"),
        ("segmentation", True, {}, "send a ready hint with auto_hint off"),
        ("canny", True, {"thresh": 1.0}, "has no parameter 'thresh'"),
        ("canny", True, {"low_threshold": 300.0}, "0 to 255"),
        ("canny", True, {"low_threshold": float("nan")}, "0 to 255"),
    ],
)
def test_what_can_t_be_made_says_what_to_change(
    kind: str, auto_hint: bool, parameters: dict[str, float], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        make_hint(kind, encode(SQUARE), auto_hint, parameters, (64, 64))


def test_a_scribble_is_what_is_dark_in_a_drawing() -> None:
    drawing = np.full((64, 64, 3), 255, np.uint8)
    drawing[8] = (0, 0, 0)
    drawing[16] = (126, 255, 255)  # one dark channel is enough
    drawing[24] = (127, 127, 127)  # too light
    hint = make_hint("scribble", encode(drawing), True, {}, (64, 64))
    expected = np.zeros_like(drawing)
    expected[[8, 16]] = 255
    np.testing.assert_array_equal(hint, expected)


def test_a_ready_scribble_is_taken_as_it_is() -> None:
    ready = np.zeros((64, 64, 3), np.uint8)
    ready[8] = 255
    np.testing.assert_array_equal(make_hint("scribble", encode(ready), False, {}, (64, 64)), ready)


def test_the_table_is_sorted_and_keyed_by_each_control_s_own_name() -> None:
    assert all(kind == control.kind for kind, control in CONTROLS.items())
    assert list(CONTROLS) == sorted(CONTROLS)


def rank(extractor: Extractor) -> int:
    stand_in = isinstance(extractor, Algorithm) and extractor.stand_in
    return [isinstance(extractor, Learned), not stand_in, stand_in].index(True)


def test_a_kind_s_extractors_stand_in_order_of_preference_and_have_names_of_their_own() -> None:
    for control in CONTROLS.values():
        names = [extractor.name for extractor in control.extractors]
        assert len(set(names)) == len(names)
        assert [rank(one) for one in control.extractors] == sorted(rank(one) for one in control.extractors)
        for extractor in control.extractors:
            assert extractor.description.endswith(".") and extractor.source
            assert not isinstance(extractor, Learned) or set(extractor.heads) <= HEADS.keys()
            assert all(p.minimum <= p.default <= p.maximum for p in extractor.parameters)
