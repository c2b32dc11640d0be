"""When a request is far outside what a model was trained for, and cards that say nothing of it."""

import msgspec
import pytest

from families.defaults import Defaults, Size, far_outside
from families.manifest import Manifest
from tests.rigs.model_cards import card

DEMO = Defaults(guidance_scale=3.0)


@pytest.mark.parametrize(
    ("size", "guidance", "about"),
    [
        ((128, 128), 3.0, []),
        ((128, 128), 6.0, []),
        ((128, 128), 7.5, ["guidance scale"]),
        ((128, 128), 1.0, []),
        ((192, 128), 3.0, []),
        ((64, 64), 3.0, []),
        ((64, 128), 3.0, []),
        ((256, 128), 3.0, ["trained at"]),
        ((512, 512), 7.5, ["trained at", "guidance scale"]),
    ],
)
def test_a_note_says_what_is_far_outside(size: Size, guidance: float, about: list[str]) -> None:
    notes = far_outside("demo", ((128, 128),), DEMO, size, guidance)
    assert len(notes) == len(about) and all(word in note for word, note in zip(about, notes, strict=True))


def test_one_trained_size_that_is_near_is_enough() -> None:
    sizes = ((512, 512), (1024, 1024))
    assert far_outside("xl", sizes, Defaults(), (1024, 1024), 20.0) == ()
    assert far_outside("xl", sizes, Defaults(), (128, 128), 20.0) != ()


def test_a_card_of_an_older_version_has_its_native_size() -> None:
    plain = msgspec.json.decode(msgspec.json.encode(card()))
    del plain["defaults"], plain["trained_sizes"]
    old = msgspec.json.decode(msgspec.json.encode(plain), type=Manifest)
    assert (old.defaults, old.trained_sizes, old.sizes) == (Defaults(), (), ((128, 128),))
    newer = plain | {"defaults": {"steps": 9, "eta": 0.5}, "later": 1}
    assert msgspec.json.decode(msgspec.json.encode(newer), type=Manifest).defaults.steps == 9
