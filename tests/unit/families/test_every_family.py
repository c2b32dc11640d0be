"""Every family's ensembles connect, and its tensors are those that its graphs share."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from families import graphs
from families.facts import Concat, ModelFacts, Net, Vector
from families.profiles import profile_of
from families.table import FAMILIES
from tests.rigs.model_cards import encoder, facts

UNION = Net(name="union", kinds={"depth": 1, "inpaint": 7, "tile": 6})
SHAPES: dict[str, dict[str, Any]] = {
    "sd15": {"controls": ("canny", "inpaint")},
    "sdxl": {
        "encoders": (encoder(width=32), encoder(width=48, pad=0, tokenizer="tokenizer_2.json")),
        "text_width": 80,
        "vector": Vector(pooled=40, sizes=True),
        "nets": (
            Net(name="canny", kinds={"canny": None}),
            Net(name="small", kinds={"small": None}, reads_vector=False),
            UNION,
        ),
    },
    "flux": {
        "encoders": (encoder(width=0), encoder(length=64, width=32, bos=None, tokenizer="tokenizer_2.json")),
        "text_tokens": 64,
        "vector": Vector(pooled=24),
        "distilled": True,
        "residuals": (("depth", "patches", 32),) * 2,
        "patch": 2,
        "nets": (Net(name="plain", kinds={"plain": None}, distilled=False), Net(name="union", kinds={"canny": 0})),
    },
}


def of(family: str) -> ModelFacts:
    return facts(**{"name": "m", "family": family, **SHAPES[family]})


BESIDE: dict[str, tuple[str, Concat]] = {
    "nine channels": ("sdxl", Concat()),
    "control": ("flux", Concat(control="depth")),
    "fill": ("flux", Concat(mask="blocks")),
}
"""What models of these families may read beside the latents."""


def test_every_family_is_here() -> None:
    assert SHAPES.keys() == FAMILIES.keys()
    assert all(profile_of(of(family)).batch for family in FAMILIES)


def combinations(family: str) -> list[tuple[str, ...]]:
    nets = [net.name for net in of(family).nets]
    return [(), *((net,) for net in nets), tuple(nets), (*nets, nets[-1])]


@pytest.mark.parametrize(("family", "nets"), [(family, nets) for family in SHAPES for nets in combinations(family)])
def test_an_ensemble_connects(family: str, nets: Sequence[str]) -> None:
    """Triton's own rules: inputs exist before a step, types and shapes agree, everything made is used or answered."""
    ours = of(family)
    ensemble = graphs.denoise_config(ours, nets)
    known = {t.name: (t.data_type, tuple(t.dims)) for t in ensemble.input}
    assert list(known) == [tensor.name for tensor in graphs.step_inputs(ours, sorted(nets))]
    used: set[str] = set()
    for step in ensemble.ensemble_scheduling.step:
        model = graphs.graph_config(ours, step.model_name)
        declared = {t.name: (t.data_type, tuple(t.dims)) for t in (*model.input, *model.output)}
        assert set(step.input_map) | set(step.output_map) == set(declared)
        for own, outer in step.input_map.items():
            assert known[outer] == declared[own], (step.model_name, own)
            used.add(outer)
        for own, outer in step.output_map.items():
            assert outer not in known, f"{outer} is made twice"
            known[outer] = declared[own]
    assert set(known) - used == {"prediction"}


@pytest.mark.parametrize(("shape", "channels"), [("nine channels", 5), ("control", 4), ("fill", 68)])
@pytest.mark.parametrize("controlled", [False, True])
def test_what_is_read_beside_the_latents_goes_to_the_denoiser_alone(
    shape: str, channels: int, controlled: bool
) -> None:
    family, concat = BESIDE[shape]
    ours = replace(of(family), concat=concat)
    nets = [net.name for net in ours.nets][: 1 if controlled else 0]
    ensemble = graphs.denoise_config(ours, nets)
    assert [tuple(tensor.dims) for tensor in ensemble.input if tensor.name == "concat"] == [(channels, -1, -1)]
    readers = [step.model_name for step in ensemble.ensemble_scheduling.step if "concat" in step.input_map]
    assert readers == ["m_unet"]
    assert (ours.repaints, ours.own_control) == (shape != "control", "depth" if shape == "control" else None)
    assert graphs.part(ours, "m_vae_encoder").input_names == (("image", "mask") if ours.repaints else ("image",))


def test_a_kind_that_the_model_reads_itself_has_no_controlnet() -> None:
    assert replace(of("flux"), concat=Concat(control="depth")).controls == ("canny", "depth", "plain")
    with pytest.raises(ValueError, match="the model reads hints of 'canny' itself: leave out its ControlNet"):
        replace(of("flux"), concat=Concat(control="canny"))


@pytest.mark.parametrize("family", SHAPES)
def test_every_named_dimension_has_a_size(family: str) -> None:
    ours = of(family)
    free = ours.dimensions(height=10, width=14, rows=2)
    for name in graphs.graph_names(ours):
        part = graphs.part(ours, name)
        assert all(size > 0 for tensor in (*part.inputs, *part.outputs) for size in tensor.sized(free))


def test_a_family_s_inputs_are_its_own() -> None:
    inputs = {
        family: {t.name for t in graphs.step_inputs(of(family), ["union"][: family != "sd15"])} for family in SHAPES
    }
    assert inputs["sd15"] == {"sample", "timestep", "text", "guidance"}
    assert inputs["sdxl"] == inputs["sd15"] | {"vector", "hint_0", "scale_0", "mode_0"}
    assert inputs["flux"] == inputs["sdxl"] | {"distilled"}
    assert [t.dims for t in graphs.control_inputs(of("sdxl"), UNION)] == [(4, "H", "W"), ("rows", 2), (1,)]
    small = graphs.part(of("sdxl"), "m_controlnet_small").input_names
    assert "vector" not in small and "text" in small


@pytest.mark.parametrize(
    ("family", "size", "wrong"),
    [
        ("sd15", (1032, 512), ("width", "64 to 1024, a multiple of 8")),
        ("sdxl", (1536, 1536), None),
        ("sdxl", (2048, 2048), ("width", "at most 2359296")),
        ("flux", (512, 520), ("height", "a multiple of 16")),
        ("flux", (512, 528), None),
    ],
)
def test_sizes_are_the_family_s(family: str, size: tuple[int, int], wrong: tuple[str, str] | None) -> None:
    found = FAMILIES[family].check_size(*size)
    assert (found is None) == (wrong is None)
    if found and wrong:
        assert found[0] == wrong[0] and wrong[1] in found[1]
