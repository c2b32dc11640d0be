"""What holds of every control type that extracts, whatever the picture."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import InvalidInput
from preprocess_svc.controls import CONTROLS, Parameter
from preprocess_svc.extraction.control import Algorithm, Extractor

EXTRACTORS = {f"{kind}-{one.name}": one for kind, control in CONTROLS.items() for one in control.extractors}
ALGORITHMS = {name: one for name, one in EXTRACTORS.items() if isinstance(one, Algorithm)}
TUNED = {
    f"{name}-{parameter.name}": (one, parameter) for name, one in EXTRACTORS.items() for parameter in one.parameters
}

every_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
every_parameter = pytest.mark.parametrize(("extractor", "parameter"), TUNED.values(), ids=TUNED)


def extracted(algorithm: Algorithm, picture: np.ndarray, **parameters: float) -> np.ndarray:
    return algorithm.extract(picture, algorithm.settle("any", parameters))


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """Small ones of every shape: noise, smooth, few colours, flat."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = random.integers(0, 256, (height, width, 3), np.uint8)
    looks: list[Callable[[], np.ndarray]] = [
        lambda: noise,
        lambda: cv2.GaussianBlur(noise, (0, 0), 3),
        lambda: np.where(noise > 127, 255, 0).astype(np.uint8),
        lambda: np.full_like(noise, noise[0, 0]),
    ]
    return draw(st.sampled_from(looks))()


def allowed(parameter: Parameter) -> st.SearchStrategy[float]:
    if parameter.whole:
        return st.integers(int(parameter.minimum), int(parameter.maximum)).map(float)
    return st.floats(parameter.minimum, parameter.maximum)


@every_algorithm
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_picture_gives_a_hint_of_its_size(algorithm: Algorithm, data: st.DataObject) -> None:
    picture = data.draw(pictures())
    parameters = {p.name: data.draw(allowed(p), label=p.name) for p in algorithm.parameters}
    before = picture.copy()
    hint = extracted(algorithm, picture, **parameters)
    assert (hint.shape, hint.dtype) == (picture.shape, np.uint8)
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(extracted(algorithm, picture, **parameters), hint)


@every_algorithm
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 64), (64, 1), (64, 1024), (1024, 64), (517, 253)])
def test_thin_and_odd_pictures(algorithm: Algorithm, height: int, width: int) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    assert extracted(algorithm, picture).shape == (height, width, 3)


@every_algorithm
def test_what_cannot_be_written_to_is_read(algorithm: Algorithm) -> None:
    picture = np.random.default_rng(4).integers(0, 256, (64, 64, 3), np.uint8)
    expected = extracted(algorithm, picture)
    picture.flags.writeable = False
    np.testing.assert_array_equal(extracted(algorithm, picture), expected)


@every_parameter
def test_values_out_of_range_are_refused(extractor: Extractor, parameter: Parameter) -> None:
    for value in (parameter.minimum, parameter.default, parameter.maximum):
        assert extractor.settle("any", {parameter.name: value})[parameter.name] == value
    for value in (parameter.minimum - 1, parameter.maximum + 1, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match=f"{parameter.name} must be ") as error:
            extractor.settle("any", {parameter.name: value}, "controls[0].parameters")
        assert error.value.field == f"controls[0].parameters.{parameter.name}"


@every_parameter
def test_whole_numbers_are_asked_for_where_a_fraction_means_nothing(extractor: Extractor, parameter: Parameter) -> None:
    between = (parameter.minimum + parameter.maximum) // 2 + 0.5
    if parameter.whole:
        with pytest.raises(InvalidInput, match="must be a whole number"):
            extractor.settle("any", {parameter.name: between})
    else:
        assert extractor.settle("any", {parameter.name: between})[parameter.name] == between
