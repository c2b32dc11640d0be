"""A whole export of a random SD1.5-shaped model (four levels, 12 + 1 residuals), and what must come of a second one.

The exporter itself compares every graph with torch; here stands what it must notice, and what it does not look at:
the parts against diffusers' own pipeline methods.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from tokenizers import Tokenizer

from export import chain, load, tokens, trace, verify
from export.errors import Mismatch, SourceRefused
from export.exporter import Options, Outcome, export
from export.graphs import residuals
from export.source import Source, open_source
from families import graphs
from families.manifest import Manifest, manifest_path, read_manifest, tokenizer_path
from tests.tiny_sd15 import make

ROOT = Path(__file__).parents[2]
NAME = "t"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("source") / "tiny", kinds=("canny", "inpaint", "shuffle"), pooled=("shuffle",))


@pytest.fixture(scope="module")
def source(folder: Path) -> Source:
    return open_source(str(folder), {})


@pytest.fixture(scope="module")
def exported(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    outcome = export(source, Options(repository, NAME))
    assert not outcome.skipped
    return repository


@pytest.fixture
def repository(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(exported, tmp_path / "repository")


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    return StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)


def run(repository: Path, graph: str, **inputs: torch.Tensor) -> list[torch.Tensor]:
    return verify.run(verify.session(repository / graph / "1" / "model.onnx"), inputs)


def contents(repository: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(repository)): path.read_bytes() for path in repository.rglob("*") if path.is_file()}


def test_the_card_names_every_graph_and_how_near_it_came(exported: Path) -> None:
    card = read_manifest(exported, NAME)
    assert set(card.graphs) == set(graphs.graph_names(card))
    assert len(card.residuals) == 13
    assert card.scheduler["prediction_type"] == "epsilon"
    assert card.pooled_controls == ("shuffle",)
    assert np.shape(card.preview) == (card.latent_channels + 1, 3)
    floats = {name: made.max_abs_error for name, made in card.graphs.items() if not name.endswith("decoder")}
    assert max(floats.values()) < 1e-4
    assert all((exported / name / "config.pbtxt").is_file() for name in graphs.repository_names(card))
    assert all((exported / name / "1").is_dir() for name in graphs.ensemble_names(card))


def test_nothing_of_the_machine_is_in_what_is_written(exported: Path, folder: Path) -> None:
    for name, content in contents(exported).items():
        assert str(ROOT).encode() not in content, name
        assert str(folder.parent).encode() not in content, name


def test_a_second_export_is_skipped(repository: Path, source: Source) -> None:
    before = contents(repository)
    assert export(source, Options(repository, NAME)).skipped
    assert contents(repository) == before


def test_a_skipped_export_waits_for_no_torch(repository: Path, folder: Path) -> None:
    code = (
        "import sys; from export import __main__ as m\n"
        f"try: m.app([{str(folder)!r}, '--name', {NAME!r}, '--repository', {str(repository)!r}])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "up to date" in done.stderr


def test_another_target_rewrites_configurations_and_traces_nothing(repository: Path, source: Source) -> None:
    outcome = export(source, Options(repository, NAME, target="gpu"))
    assert outcome.skipped
    assert outcome.manifest.target == read_manifest(repository, NAME).target == "gpu"
    assert "KIND_GPU" in (repository / f"{NAME}_unet" / "config.pbtxt").read_text()


def cut_graph(repository: Path, _: Path) -> None:
    path = repository / f"{NAME}_unet" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def remove_graph(repository: Path, _: Path) -> None:
    (repository / f"{NAME}_vae_decoder" / "1" / "model.onnx").unlink()


def remove_tokenizer(repository: Path, _: Path) -> None:
    tokenizer_path(repository, NAME).unlink()


def spoil_card(repository: Path, _: Path) -> None:
    manifest_path(repository, NAME).write_text("{}")


def change_source(_: Path, folder: Path) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": "v_prediction"}))


@pytest.mark.parametrize("spoil", [cut_graph, remove_graph, remove_tokenizer, spoil_card, change_source])
def test_whatever_changed_is_exported_again(
    repository: Path, folder: Path, tmp_path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    own = shutil.copytree(folder, tmp_path / "source")
    spoil(repository, own)
    # A tolerance of nothing stops the export at its first graph: enough to see that it began.
    with pytest.raises(Mismatch):
        export(open_source(str(own), {}), Options(repository, NAME, tolerance=0.0))


def test_a_mismatch_leaves_the_old_model_whole(repository: Path, source: Source) -> None:
    before = contents(repository)
    with pytest.raises(Mismatch, match="differs from torch"):
        export(source, Options(repository, NAME, force=True, tolerance=0.0))
    assert contents(repository) == before


def test_an_interruption_leaves_the_old_model_whole(repository: Path, source: Source) -> None:
    def interrupt(doing: str, done: int, total: int) -> None:
        if "unet" in doing:
            raise KeyboardInterrupt

    before = contents(repository)
    with pytest.raises(KeyboardInterrupt):
        export(source, Options(repository, NAME, force=True), interrupt)
    assert contents(repository) == before


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("vae", {"layers_per_block": 2}),
        ("vae", {"block_out_channels": [16, 16, 32, 64]}),
        ("text_encoder", {"num_hidden_layers": 4}),
        ("text_encoder", {"num_hidden_layers": 2}),
    ],
)
def test_weights_that_do_not_fit_their_configuration_are_refused(
    folder: Path, tmp_path: Path, part: str, settings: dict[str, Any]
) -> None:
    """Tensors that are missing (the libraries would make them up), of another shape, or superfluous."""
    own = shutil.copytree(folder, tmp_path / "source")
    path = own / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(SourceRefused, match=f"{part}: the weights"):
        export(open_source(str(own), {}), Options(tmp_path / "repository", NAME))


def test_a_part_with_another_parts_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folder, tmp_path / "source")
    shutil.copy(own / "controlnet-canny" / "diffusion_pytorch_model.safetensors", own / "unet")
    with pytest.raises(SourceRefused, match="unet: the weights are not those"):
        export(open_source(str(own), {}), Options(tmp_path / "repository", NAME))


@pytest.mark.slow
def test_a_control_that_is_gone_takes_its_graphs_along_and_large_weights_stand_beside_the_graph(
    repository: Path, folder: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(folder, tmp_path / "source", ignore=shutil.ignore_patterns("controlnet-shuffle"))
    options = Options(repository, NAME, external_over=1 << 16)
    outcome: Outcome = export(open_source(str(own), {}), options)
    wanted = {NAME, *graphs.repository_names(outcome.manifest)}
    assert {path.name for path in repository.iterdir()} == wanted
    assert sorted(path.name for path in (repository / f"{NAME}_unet" / "1").iterdir()) == [
        "model.onnx",
        "model.onnx.data",
    ]
    assert (repository / f"{NAME}_unet" / "1" / "model.onnx").stat().st_size < 1 << 21
    assert export(open_source(str(own), {}), replace(options)).skipped


@pytest.mark.slow
def test_half_precision_weights_are_read_as_float32(tmp_path: Path) -> None:
    folder = make(tmp_path / "half", kinds=(), variant="fp16")
    card = export(open_source(str(folder), {}), Options(tmp_path / "repository", "half")).manifest
    assert graphs.ensemble_names(card) == ("half_denoise",)


@pytest.mark.parametrize("skipped", [0, 1, 2])
def test_text_is_what_the_pipeline_encodes(exported: Path, pipeline: Any, skipped: int) -> None:
    prompts = ["a red circle", "", "two squares " * 60]
    tokenizer = Tokenizer.from_file(str(tokenizer_path(exported, NAME)))
    ids = torch.tensor([encoded.ids for encoded in tokenizer.encode_batch(prompts)])
    # diffusers' clip_skip still asks for the `text_model` that CLIPTextModel was wrapped in before transformers 5.
    pipeline.text_encoder.__dict__["text_model"] = pipeline.text_encoder
    theirs, _ = pipeline.encode_prompt(prompts, "cpu", 1, False, clip_skip=skipped or None)
    [ours] = run(exported, f"{NAME}_text_encoder", input_ids=ids, layers_skipped=torch.full((len(prompts), 1), skipped))
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)


def test_layers_skipped_belong_to_each_row(exported: Path) -> None:
    ids = torch.arange(77).repeat(3, 1)
    together = run(exported, f"{NAME}_text_encoder", input_ids=ids, layers_skipped=torch.tensor([[0], [1], [2]]))[0]
    for row in range(3):
        alone = run(exported, f"{NAME}_text_encoder", input_ids=ids[:1], layers_skipped=torch.tensor([[row]]))[0]
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_a_picture_is_what_the_pipeline_decodes(exported: Path, pipeline: Any) -> None:
    latents = torch.randn(2, 4, 9, 14, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    theirs = np.stack([np.asarray(picture) for picture in pipeline.image_processor.postprocess(decoded)])
    [ours] = run(exported, f"{NAME}_vae_decoder", latents=latents)
    difference = np.abs(ours.numpy().astype(int) - theirs.astype(int))
    assert theirs.std() > 20, "the picture must show something"
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def test_a_draw_of_the_posterior_is_what_the_pipeline_encodes(exported: Path, pipeline: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (72, 112, 3), dtype=np.uint8)
    noise = torch.randn(1, 4, 9, 14, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        posterior = pipeline.vae.encode(pipeline.image_processor.preprocess(Image.fromarray(pixels))).latent_dist
    sampled = posterior.sample(torch.Generator().manual_seed(3)) * pipeline.vae.config.scaling_factor
    mode = posterior.mode() * pipeline.vae.config.scaling_factor
    mean, deviation = run(exported, f"{NAME}_vae_encoder", image=torch.from_numpy(pixels)[None])
    torch.testing.assert_close(mean, mode, atol=2e-5, rtol=0)
    torch.testing.assert_close(mean + deviation * noise, sampled, atol=2e-5, rtol=0)
    assert (sampled - mode).abs().max() > 0.1, "a draw must be told from the mode"


@pytest.mark.parametrize("first_repainted", [0, 1, 127, 128, 255])
def test_an_inpaint_hint_is_diffusers_inpaint_condition(exported: Path, source: Source, first_repainted: int) -> None:
    """`make_inpaint_condition` as diffusers documents it, over pictures as Pillow has them, into ControlNetModel."""
    card = read_manifest(exported, NAME)
    part = graphs.part(card, graphs.controlnet(NAME, "inpaint"))
    inputs = verify.example(part, card, verify.Size(batch=1, rows=2, height=9, width=13))
    hint = inputs["hint"][0].numpy()
    hint[3] = np.where(hint[3] < first_repainted, 0, hint[3])
    picture, mask = Image.fromarray(hint[:3].transpose(1, 2, 0)), Image.fromarray(hint[3])
    image = np.array(picture.convert("RGB")).astype(np.float32) / 255.0
    image[np.array(mask.convert("L")).astype(np.float32) / 255.0 > 0.5] = -1.0
    condition = torch.from_numpy(np.expand_dims(image, 0).transpose(0, 3, 1, 2))
    with torch.no_grad():
        down, middle = load.load(source).controlnets["inpaint"](
            inputs["sample"].repeat(2, 1, 1, 1),
            inputs["timestep"][0],
            encoder_hidden_states=inputs["text"][0],
            controlnet_cond=condition.repeat(2, 1, 1, 1),
            return_dict=False,
        )
    ours = run(exported, part.graph, **{**inputs, "scale": torch.ones_like(inputs["scale"])})
    for found, theirs in zip(ours, (*down, middle), strict=True):
        torch.testing.assert_close(found[0], theirs, atol=2e-5, rtol=1e-5)


def test_what_lies_under_the_mask_does_not_reach_the_control(exported: Path) -> None:
    card = read_manifest(exported, NAME)
    part = graphs.part(card, graphs.controlnet(NAME, "inpaint"))
    inputs = verify.example(part, card, verify.Size(batch=1, rows=1, height=8, width=8))
    inputs["hint"][:, 3] = 0
    inputs["hint"][:, 3, 16:48, 16:48] = 255
    other, shown = inputs["hint"].clone(), inputs["hint"].clone()
    other[:, :3, 16:48, 16:48] = 255 - other[:, :3, 16:48, 16:48]
    shown[:, 3] = 0
    [masked, same, differs] = [
        run(exported, part.graph, **{**inputs, "hint": h}) for h in (inputs["hint"], other, shown)
    ]
    assert all(torch.equal(a, b) for a, b in zip(masked, same, strict=True))
    assert max(float((a - b).abs().max()) for a, b in zip(masked, differs, strict=True)) > 0.1


def test_a_graph_that_takes_one_length_of_text_is_noticed(exported: Path, tmp_path: Path) -> None:
    card = read_manifest(exported, NAME)
    part = graphs.part(card, graphs.no_control(NAME))
    assert {size.chunks for size in verify.sizes(part)} == {1, 2}
    fixed = tuple(replace(t, dims=(-1, 77, t.dims[2])) if t.name == "text" else t for t in part.inputs)
    module = residuals.NoControl(card.residuals)
    path = tmp_path / "model.onnx"
    trace.trace(module, replace(part, inputs=fixed), verify.example(part, card, trace.TRACED), path)
    with pytest.raises(Mismatch, match="chunks 2: ONNX Runtime cannot run it"):
        verify.check(verify.session(path), part, card, module)


@pytest.mark.parametrize(
    "kinds", [(), ("canny",), ("canny", "canny"), ("canny", "inpaint"), ("inpaint", "shuffle"), ("canny",) * 3]
)
def test_a_step_is_what_diffusers_multi_controlnet_makes(
    exported: Path, source: Source, kinds: tuple[str, ...]
) -> None:
    card = read_manifest(exported, NAME)
    sessions = {name: verify.session(exported / name / "1" / "model.onnx") for name in card.graphs}
    modules = load.load(source)
    assert chain.check(card, modules, sessions, kinds) < 1e-4
    if kinds:
        # The check can fail: other weights in one ControlNet are another step.
        torch.nn.init.normal_(modules.controlnets[kinds[0]].controlnet_mid_block.weight)
        with pytest.raises(Mismatch):
            chain.check(card, modules, sessions, kinds)


def test_rows_of_a_batch_do_not_touch_each_other(exported: Path) -> None:
    card: Manifest = read_manifest(exported, NAME)
    part = graphs.part(card, graphs.controlnet(NAME, "canny"))
    inputs = verify.example(part, card, verify.Size(batch=3, rows=2, height=9, width=13))
    together = run(exported, part.graph, **inputs)
    for row in range(3):
        alone = run(exported, part.graph, **{key: value[row : row + 1] for key, value in inputs.items()})
        for whole, single in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[row], single[0], atol=2e-5, rtol=1e-5)


def test_a_tokenizer_that_disagrees_is_refused(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "tokenizer.json"
    tokens.write(folder / "tokenizer", target, tokens.special_ids(folder / "tokenizer"))
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tokens.compare(Tokenizer.from_file(str(target)), theirs)
    changed = json.loads(target.read_text())
    changed["normalizer"] = None
    with pytest.raises(Mismatch, match="differs from transformers"):
        tokens.compare(Tokenizer.from_str(json.dumps(changed)), theirs)
    with pytest.raises(Mismatch, match="special tokens"):
        tokens.write(folder / "tokenizer", target, {"pad": 0, "bos": 1, "eos": 2})
