"""What the backend reads from a model's configuration."""

from typing import Any

import pytest

from model_server.backends.onnxruntime.graph_options import GraphOptions, OptionError, options_of
from model_server.backends.onnxruntime.signature import SignatureError, Tensor, declared, positions, require_match


def parameters(**values: str) -> dict[str, Any]:
    return {"parameters": {name: {"string_value": value} for name, value in values.items()}}


def accelerator(name: str, **values: str) -> dict[str, Any]:
    entry = {"name": name, "parameters": values}
    return {"optimization": {"execution_accelerators": {"cpu_execution_accelerator": [entry]}}}


def test_a_silent_configuration_takes_every_core_in_one_operator_at_a_time() -> None:
    expected = GraphOptions(
        intra_op_threads=0, inter_op_threads=1, memory_arena=True, shrink_over=0, openvino=False, precision="f32"
    )
    assert options_of({}) == expected


def test_the_configuration_goes_before_the_launcher() -> None:
    given = parameters(intra_op_thread_count="3", enable_mem_arena="0", shrink_arena_over="7")
    options = options_of(given, {"intra_op_thread_count": "1", "inter_op_thread_count": "2"})
    assert (options.intra_op_threads, options.inter_op_threads, options.memory_arena) == (3, 2, False)
    assert options.shrink_over == 7


@pytest.mark.parametrize("text", ["-1", "two", "", "1.5"])
def test_a_thread_count_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(OptionError, match="parameter intra_op_thread_count="):
        options_of(parameters(intra_op_thread_count=text))


@pytest.mark.parametrize(("given", "precision"), [({}, "f32"), ({"precision": "BF16"}, "bf16")])
def test_openvino_is_an_accelerator_with_a_precision(given: dict[str, str], precision: str) -> None:
    options = options_of(accelerator("openvino", **given))
    assert (options.openvino, options.precision) == (True, precision)


def test_an_unknown_accelerator_or_precision_is_named() -> None:
    with pytest.raises(OptionError, match="'abacus' is unknown here; use 'openvino'"):
        options_of(accelerator("abacus"))
    with pytest.raises(OptionError, match="precision 'int4' is unknown; use one of f32, bf16, f16"):
        options_of(accelerator("openvino", precision="int4"))


def test_accelerators_of_a_gpu_do_not_matter_here() -> None:
    config = {"optimization": {"execution_accelerators": {"gpu_execution_accelerator": [{"name": "tensorrt"}]}}}
    assert not options_of(config).openvino


CONFIG = {
    "max_batch_size": 8,
    "input": [{"name": "sample", "data_type": "TYPE_FP32", "dims": ["4", "-1", "-1"]}],
    "output": [{"name": "prediction", "data_type": "TYPE_FP32", "dims": ["4", "-1", "-1"]}],
}
SAMPLE = Tensor("sample", "TYPE_FP32", (-1, 4, -1, -1))
PREDICTION = Tensor("prediction", "TYPE_FP32", (-1, 4, -1, -1))


def test_dims_have_the_batch_in_front_only_where_there_is_one() -> None:
    assert declared(CONFIG, "input") == (SAMPLE,)
    assert declared({**CONFIG, "max_batch_size": 0}, "input") == (Tensor("sample", "TYPE_FP32", (4, -1, -1)),)


def test_fixed_and_free_sizes_fit_each_other() -> None:
    require_match(CONFIG, [Tensor("sample", "TYPE_FP32", (-1, 4, 16, 16))], [PREDICTION])


def test_an_extra_output_of_the_graph_is_no_fault() -> None:
    require_match(CONFIG, [SAMPLE], [PREDICTION, Tensor("attention", "TYPE_FP32", (-1, 7))])


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ([], [PREDICTION], "config.pbtxt lists input 'sample', which the graph does not have"),
        ([SAMPLE, Tensor("hint", "TYPE_UINT8", (-1, 3))], [PREDICTION], "the graph needs input 'hint'"),
        ([Tensor("sample", "TYPE_FP16", SAMPLE.dims)], [PREDICTION], "input 'sample' is TYPE_FP32 in config.pbtxt and"),
        ([Tensor("sample", "TYPE_FP32", (-1, 16, -1, -1))], [PREDICTION], r"\[-1, 16, -1, -1\] in the graph"),
        ([Tensor("sample", "TYPE_FP32", (-1, 4, -1))], [PREDICTION], r"\[-1, 4, -1\] in the graph"),
        ([SAMPLE], [], "config.pbtxt lists output 'prediction', which the graph does not have"),
    ],
)
def test_a_difference_is_named(inputs: list[Tensor], outputs: list[Tensor], said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        require_match(CONFIG, inputs, outputs)


def test_a_port_is_known_by_any_of_its_names() -> None:
    ports = [{"sample"}, {"/time_proj/Cast_output_0", "timestep"}, {"text"}]
    assert positions(["timestep", "text", "sample"], ports) == {"timestep": 1, "text": 2, "sample": 0}
    with pytest.raises(SignatureError, match="no input or output 'hint'"):
        positions(["hint"], ports)
