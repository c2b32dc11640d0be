"""Every control with any parameters and any file: a hint or a clear refusal. `make fuzz` searches longer."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from families.limits import SIDE
from mesh.errors import MeshError
from mesh.pictures import encode
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm, Parameter, Written
from preprocess_svc.hints import Wish
from tests.rigs.broken_pictures import broken
from tests.rigs.hints import made

every_kind = pytest.mark.parametrize("kind", CONTROLS)
sides = st.integers(8, 40).map(lambda eighths: eighths * SIDE.multiple)
numbers = st.floats() | st.sampled_from([-1.0, 0.0, 0.5, 1e-300, 1e300, math.nan, math.inf, -math.inf, 2.0**63])


def allowed(parameter: Parameter) -> st.SearchStrategy[float]:
    if parameter.whole:
        return st.integers(int(parameter.minimum), int(parameter.maximum)).map(float)
    return st.floats(parameter.minimum, parameter.maximum)


def tried(wish: Wish, size: tuple[int, int]) -> bool:
    """Whether the hint was made; it may only be refused as a MeshError that names a part of the control."""
    try:
        hint = made(wish, size)
    except MeshError as error:
        assert error.field and error.field.startswith("control.")
        assert 0 < len(error.message) < 1000
        return False
    channels = 4 if CONTROLS[wish.kind].reads_mask else 3
    assert (hint.pixels.shape, hint.pixels.dtype) == ((size[1], size[0], channels), np.uint8)
    assert all(note.startswith("control: ") for note in hint.notes)
    return True


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Small pictures: noise, few colours, flat."""
    shape = (draw(st.integers(1, 90)), draw(st.integers(1, 90)), 3)
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, 256, shape, np.uint8)
    return encode(noise // draw(st.sampled_from((1, 86, 255))) * draw(st.integers(1, 255)))


@every_kind
@given(data=st.data())
def test_allowed_parameters_make_a_hint(kind: str, data: st.DataObject) -> None:
    control = CONTROLS[kind]
    algorithms = [one for one in control.extractors if isinstance(one, Algorithm)]
    extractor = data.draw(st.sampled_from([None, *algorithms]))
    parameters = {p.name: data.draw(allowed(p), label=p.name) for p in (extractor.parameters if extractor else ())}
    content = data.draw(files())
    mask = data.draw(files()) if control.reads_mask else None
    name = extractor.name if extractor else ""
    wish = Wish(kind, content, bool(extractor), parameters, name, mask=mask)
    assert tried(wish, (data.draw(sides), data.draw(sides)))


@every_kind
@given(data=st.data())
def test_anything_else_is_refused_by_name(kind: str, data: st.DataObject) -> None:
    names = sorted({p.name for one in CONTROLS[kind].extractors for p in one.parameters})
    wish = Wish(
        kind,
        data.draw(st.just(b"") | files() | broken()),
        data.draw(st.booleans()),
        data.draw(st.dictionaries(st.sampled_from([*names, "unknown"]) | st.text(max_size=5), numbers, max_size=3)),
        data.draw(st.sampled_from(["", *(one.name for one in CONTROLS[kind].extractors)]) | st.text(max_size=5)),
        data.draw(st.just("") | st.text(max_size=30)),
        data.draw(st.none() | files() | broken()),
    )
    tried(wish, (64, 72))


@given(data=st.data())
def test_any_words_make_a_code_or_are_refused(data: st.DataObject) -> None:
    writers = [(kind, one) for kind in CONTROLS for one in CONTROLS[kind].extractors if isinstance(one, Written)]
    kind, writer = data.draw(st.sampled_from(writers))
    parameters = {p.name: data.draw(allowed(p), label=p.name) for p in writer.parameters}
    words = data.draw(st.text(st.characters(exclude_categories=()), min_size=1, max_size=40))
    tried(Wish(kind, text=words, parameters=parameters), (data.draw(sides), data.draw(sides)))


@given(st.text(max_size=20))
def test_an_unknown_kind_is_refused_by_name(kind: str) -> None:
    assert kind in CONTROLS or not tried(Wish(kind, encode(np.zeros((8, 8, 3), np.uint8))), (64, 64))
