"""The Scenario dialect's modalities: the grammar, the families' names, the presets."""

import pytest

from controlmesh.v1 import preprocess_pb2, unet_pb2
from gateway.dialects.scenario.modality import (
    FAMILIES,
    KINDS,
    PRESETS,
    Item,
    Wanted,
    available,
    family_of,
    read,
    spoken,
)
from gateway.generation.catalogue import Offer
from mesh.errors import InvalidInput

SD15 = ("canny", "openpose", "depth", "mlsd", "segmentation", "scribble", "lineart", "normal", "illusion")


def offer(controls: tuple[str, ...] = SD15, family: str = "sd15", extractable: tuple[str, ...] = SD15) -> Offer:
    """One model with these ControlNets."""
    model = unet_pb2.Model(name="m", family=family, controls=controls)
    kinds = [
        preprocess_pb2.ControlKind(kind=kind, extractable=kind in extractable, extractors=[_extractor(kind)])
        for kind in (*SD15, "tile", "softedge", "hed", "qrcode", "inpaint")
    ]
    return Offer([model], kinds, [], [])


def _extractor(kind: str) -> preprocess_pb2.Extractor:
    return preprocess_pb2.Extractor(name=kind, how_to_get=f"export one for {kind}")


def items(text: str, known: Offer, *, extracting: bool = True, weight: float = 1.0) -> list[Item]:
    return list(read(text, known, Wanted("modality", "m", extracting, weight), []))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("canny", [("canny", 1.0)]),
        ("depth:0.5,pose:1.0", [("depth", 0.5), ("openpose", 1.0)]),
        ("canny:0.5,depth:0.5,lines:0.3", [("canny", 0.5), ("depth", 0.5), ("mlsd", 0.3)]),
        (" seg : 1", None),
        (" seg:1 , scribble", [("segmentation", 1.0), ("scribble", 1.0)]),
        ("illusion:1", [("illusion", 1.0)]),
        ("normal-map:.25", [("normal", 0.25)]),
        ("Canny:0.80", [("canny", 0.8)]),
        ("openpose", [("openpose", 1.0)]),
        ("normal", [("normal", 1.0)]),
        ("segmentation", [("segmentation", 1.0)]),
        ("sketch", [("scribble", 1.0)]),
        ("lineart:1.", [("lineart", 1.0)]),
        ("canny,canny:0.5", [("canny", 1.0), ("canny", 0.5)]),
    ],
)
def test_the_grammar(text: str, expected: list[tuple[str, float]] | None) -> None:
    if expected is None:
        with pytest.raises(InvalidInput, match="not a modality"):
            items(text, offer())
    else:
        assert items(text, offer()) == [Item(*one) for one in expected]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("canny:0", "weight 0"),
        ("canny:1.01", "weight 1.01"),
        ("canny:-0.5", "not a modality"),
        ("canny:1e-3", "not a modality"),
        ("canny:nan", "not a modality"),
        ("canny:", "not a modality"),
        ("canny:0.5:0.5", "not a modality"),
        (",canny", "not a modality"),
        ("canny,", "not a modality"),
        (",", "not a modality"),
        (":1", "not a modality"),
        ("canny;depth", "not a modality"),
        ("x" * 5000, "not a modality"),
        ("canny,pose,depth,seg", "at most 3"),
        ("wool", "not supported by this model; it takes: canny"),
        ("tile", "not supported by this model"),
        ("character,canny", "must stand alone"),
        ("canny,city", "must stand alone"),
        ("character,city", "must stand alone"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        items(text, offer())
    assert caught.value.field == "modality" and len(caught.value.message) < 400


def test_a_weight_of_its_own_goes_before_the_common_one() -> None:
    assert items("canny,depth:0.9", offer(), weight=0.4) == [Item("canny", 0.4), Item("depth", 0.9)]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_means_its_modalities(preset: str) -> None:
    kinds = [KINDS[name][0] for name in PRESETS[preset]]
    assert items(f"{preset}:0.5", offer()) == [Item(kind, 0.5) for kind in kinds]
    assert len(kinds) <= FAMILIES["sd15"].most


def test_a_preset_does_without_what_the_model_lacks_and_says_so() -> None:
    remarks: list[str] = []
    found = read("city", offer(("depth", "canny")), Wanted("modality", "m", True), remarks)
    assert found == (Item("depth", 1.0),)
    assert remarks == ["city was made without lines and seg, which this model does not support here."]


def test_a_preset_of_which_nothing_is_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'character' is not available: model m has no ControlNet of this kind"):
        items("character", offer(("canny",)))


@pytest.mark.parametrize("controls", [("softedge",), ("hed",), ("hed", "softedge")])
def test_lines_take_the_next_best(controls: tuple[str, ...]) -> None:
    assert items("lines", offer(controls, extractable=controls))[0].kind == sorted(controls, reverse=True)[0]


def test_what_the_model_has_beyond_its_family_is_taken() -> None:
    assert items("tile", offer(("tile",), extractable=("tile",))) == [Item("tile", 1.0)]
    assert items("softedge", offer(("softedge",), extractable=("softedge",))) == [Item("softedge", 1.0)]


def test_what_can_t_be_extracted_is_taken_as_a_map() -> None:
    known = offer(extractable=("canny",))
    with pytest.raises(
        InvalidInput, match="export one for openpose; or send a ready map with disableModality"
    ) as caught:
        items("pose", known)
    assert caught.value.message.endswith("can be extracted: canny")
    assert items("pose", known, extracting=False) == [Item("openpose", 1.0)]


@pytest.mark.parametrize("family", ["sdxl", "flux"])
def test_other_families_have_their_own_names_and_numbers(family: str) -> None:
    known = offer((*SD15, "tile"), family, (*SD15, "tile"))
    most = FAMILIES[family].most
    assert family_of(known, "m") is FAMILIES[family]
    with pytest.raises(InvalidInput, match=f"at most {most}"):
        items(",".join(["canny"] * (most + 1)), known)
    with pytest.raises(InvalidInput, match="'city' is not supported"):
        items("city", known)


def test_flux_ends_its_controls_early_and_takes_maps() -> None:
    flux, sd15 = FAMILIES["flux"], FAMILIES["sd15"]
    assert (flux.control_end("canny"), flux.control_end("depth"), sd15.control_end("canny")) == (0.5, 0.6, 1.0)
    assert flux.takes_maps and not sd15.takes_maps


def test_every_name_of_every_family_is_known() -> None:
    for family in FAMILIES.values():
        assert set(family.names) <= set(KINDS) and set(family.presets) <= set(PRESETS)
    assert {name for names in PRESETS.values() for name in names} <= set(KINDS)


def test_names_there_and_back() -> None:
    assert available(offer(("canny", "mlsd")), "m") == ["canny", "lines", "landscape", "city", "interior"]
    assert spoken(("openpose", "canny", "inpaint", "softedge", "mlsd")) == ["pose", "canny", "inpaint", "lines"]
