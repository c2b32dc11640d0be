"""Graph names and Triton configurations: an ensemble must connect, tensor by tensor, before a server ever sees it."""

import itertools
import math
from collections.abc import Sequence

import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2 as triton

from families import graphs
from families.facts import ModelFacts, hint_channels, skips
from families.limits import PROMPT_CHUNKS
from families.profiles import GPU, PROFILES, SHRINK_OVER, profile_of
from tests.rigs.model_cards import encoder
from tests.rigs.model_cards import facts as small


def facts(**changes: object) -> ModelFacts:
    settings = {
        "name": "m",
        "encoders": (encoder(layers=3),),
        "residuals": skips(((32, 1), (32, 2), (64, 2))),
        "controls": ("canny", "depth", "inpaint"),
    }
    return small(**{**settings, **changes})


def dims_of(config: triton.ModelConfig) -> dict[str, tuple[int, tuple[int, ...]]]:
    return {t.name: (t.data_type, tuple(t.dims)) for t in (*config.input, *config.output)}


@pytest.mark.parametrize(
    "kinds", [(), ("canny",), ("depth", "canny"), ("canny", "canny"), ("inpaint", "canny", "depth", "canny")]
)
def test_an_ensemble_connects(kinds: Sequence[str]) -> None:
    """Triton's own rules: inputs exist before a step, types and shapes agree, everything made is used or answered."""
    ensemble = graphs.denoise_config(facts(), kinds)
    known = {t.name: (t.data_type, tuple(t.dims)) for t in ensemble.input}
    used: set[str] = set()
    for step in ensemble.ensemble_scheduling.step:
        model = graphs.graph_config(facts(), step.model_name)
        assert model.max_batch_size >= ensemble.max_batch_size
        assert set(step.input_map) == {t.name for t in model.input}
        assert set(step.output_map) == {t.name for t in model.output}
        declared = dims_of(model)
        for own, outer in step.input_map.items():
            assert known[outer] == declared[own], (step.model_name, own)
            used.add(outer)
        for own, outer in step.output_map.items():
            assert outer not in known, f"{outer} is made twice"
            known[outer] = declared[own]
    answers = {t.name for t in ensemble.output}
    assert answers == {"prediction"}
    assert set(known) - used == answers


def test_hints_follow_the_sorted_kinds() -> None:
    ensemble = graphs.denoise_config(facts(), ("depth", "canny", "depth"))
    taken = {
        step.input_map["hint"]: (step.model_name, step.input_map["scale"])
        for step in ensemble.ensemble_scheduling.step
        if "hint" in step.input_map
    }
    assert taken == {
        "hint_0": ("m_controlnet_canny", "scale_0"),
        "hint_1": ("m_controlnet_depth", "scale_1"),
        "hint_2": ("m_controlnet_depth", "scale_2"),
    }
    assert ensemble.name == "m_denoise__canny__depth__depth"


@pytest.mark.parametrize("kinds", [("inpaint",), ("canny", "inpaint"), ("inpaint", "depth", "inpaint")])
def test_a_hint_that_marks_what_to_repaint_has_a_fourth_channel(kinds: Sequence[str]) -> None:
    inputs = {t.name: t.dims[0] for t in graphs.denoise_config(facts(), kinds).input}
    expected = {"canny": 3, "depth": 3, "inpaint": 4}
    assert [inputs[graphs.hint(i)] for i in range(len(kinds))] == [expected[kind] for kind in sorted(kinds)]
    assert all(hint_channels(kind) == channels for kind, channels in expected.items())


def test_texts_of_several_chunks_fit_every_graph_that_reads_one() -> None:
    free = {
        config.name: tuple(tensor.dims)
        for config in graphs.configs(facts()).values()
        for tensor in config.input
        if tensor.name == "text"
    }
    assert {"m_unet", "m_no_control", "m_controlnet_inpaint", "m_denoise", "m_denoise__canny__inpaint"} <= set(free)
    assert set(free.values()) == {(-1, -1, 32)}


def test_a_kind_without_controlnet_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"scribble.*canny"):
        graphs.denoise_config(facts(), ("scribble",))


def test_on_disk_stand_no_control_each_kind_and_each_pair() -> None:
    assert set(graphs.ensemble_names(facts())) == {
        "m_denoise",
        *(f"m_denoise__{kind}" for kind in ("canny", "depth", "inpaint")),
        *(f"m_denoise__{a}__{b}" for a, b in itertools.combinations(("canny", "depth", "inpaint"), 2)),
    }


def test_every_folder_has_one_configuration_of_its_own_name() -> None:
    made = graphs.configs(facts())
    assert set(made) == set(graphs.repository_names(facts()))
    assert all(name == config.name for name, config in made.items())


@pytest.mark.parametrize("name", graphs.repository_names(facts()))
def test_texts_say_what_the_configuration_says(name: str) -> None:
    config = graphs.configs(facts())[name]
    assert text_format.Parse(graphs.to_pbtxt(config), triton.ModelConfig()) == config
    assert json_format.Parse(graphs.to_json(config), triton.ModelConfig()) == config
    assert "\n" not in graphs.to_json(config)


def test_every_graph_has_a_bounded_queue_and_a_batch_cap() -> None:
    for name in graphs.graph_names(facts()):
        config = graphs.graph_config(facts(), name)
        assert config.max_batch_size >= 1
        assert config.backend == "onnxruntime"
        assert 0 < config.dynamic_batching.default_queue_policy.max_queue_size <= 1024
        assert config.dynamic_batching.max_queue_delay_microseconds <= 500


def test_the_target_changes_where_a_graph_runs_and_nothing_else() -> None:
    cpu, gpu = (graphs.graph_config(facts(), "m_unet", runtime) for runtime in (graphs.CPU, GPU))
    assert cpu.instance_group[0].kind == triton.ModelInstanceGroup.KIND_CPU
    assert gpu.instance_group[0].kind == triton.ModelInstanceGroup.KIND_GPU
    assert [a.name for a in gpu.optimization.execution_accelerators.gpu_execution_accelerator] == ["tensorrt"]
    for config in (cpu, gpu):
        for field in ("instance_group", "parameters", "optimization"):
            config.ClearField(field)
    assert cpu == gpu


@pytest.mark.parametrize("name", ["m_unet", "m_vae_decoder", "m_vae_encoder", "m_controlnet_canny"])
def test_a_larger_picture_than_the_native_one_is_large_and_a_long_prompt_is_not(name: str) -> None:
    over = int(graphs.graph_config(facts(), name).parameters[SHRINK_OVER].string_value)

    def numbers(side: int, chunks: int) -> int:
        cells = side // facts().downscale
        sizes = facts().dimensions(height=cells, width=cells, rows=2, chunks=chunks)
        return sum(math.prod(tensor.sized(sizes)) for tensor in graphs.part(facts(), name).inputs)

    native = facts().native_size
    assert numbers(native, 1) <= numbers(native, PROMPT_CHUNKS) <= over < numbers(2 * native, 1)


def test_a_size_or_family_without_a_profile_is_refused() -> None:
    largest = max(size for _, size, _ in PROFILES)
    with pytest.raises(ValueError, match="PROFILES"):
        profile_of(facts(native_size=largest + 8))
    with pytest.raises(ValueError, match="PROFILES"):
        profile_of(facts(family="other"))
