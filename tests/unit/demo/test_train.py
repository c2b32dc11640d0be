"""Every stage of the demo's training runs, learns, and leaves a model that diffusers can load."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from demo import annotator_train, controlnet, corpus, recipe, stages, text_encoder, train, unet, vae
from demo.annotator_net import AnnotatorNet, load_net, save_net
from demo.assemble import assemble
from demo.diffusion import NOISE_FROM, Noising, build_scheduler, stratified_timesteps
from demo.distributed import Crew, CrewError, Progress, run_crew
from demo.recipe import Schedule
from demo.stages import STAGES, MissingPart, Workshop
from demo.tokenizer import END, START, train_tokenizer
from tests.rigs.crew import fail_second, record_average

ALONE = Crew(0, 1, lambda progress: None)
EXAMPLES = corpus.examples(range(48))


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    texts = [text for example in corpus.examples(range(300)) for text in example.captions]
    return train_tokenizer(texts, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return corpus.pictures(EXAMPLES, quiet)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tokenizer: CLIPTokenizer, images: np.ndarray) -> SimpleNamespace:
    """A few steps of every stage, each on the results of the ones before, as folders; and the losses."""
    torch.manual_seed(0)
    parts = tmp_path_factory.mktemp("parts")
    schedule = Schedule(steps=10, batch=6, rate=1.5e-3, warmup=2)
    tokenizer.save_pretrained(parts / "tokenizer")
    autoencoder, vae_losses = vae.train_vae(ALONE, images, replace(schedule, steps=24, rate=2e-4))
    autoencoder = vae.whitened(autoencoder, images)
    latents = vae.encode(autoencoder, images)
    reader, text_losses = text_encoder.train_text_encoder(
        ALONE, tokenizer, EXAMPLES, Schedule(steps=30, batch=16, rate=2e-3, warmup=4, averaging=0.9)
    )
    captions = unet.Captions(tokenizer, reader.encoder, EXAMPLES)
    denoiser, unet_losses = unet.train_unet(ALONE, latents, captions, schedule)
    for name, model in {"vae": autoencoder, "text_encoder": reader.encoder, "unet": denoiser}.items():
        model.save_pretrained(parts / name)
    hints = corpus.hint_pictures(EXAMPLES, "canny", quiet)
    control, control_losses = controlnet.train_controlnet(ALONE, denoiser, EXAMPLES, hints, latents, captions, schedule)
    control.save_pretrained(parts / "controlnet-canny")
    annotator, annotator_losses = annotator_train.train_annotator(
        ALONE, autoencoder, Schedule(steps=12, batch=4, rate=3e-3, warmup=2, averaging=0.5)
    )
    save_net(annotator, parts / "annotator")
    losses = {"vae": vae_losses, "text_encoder": text_losses, "unet": unet_losses, "controlnet": control_losses}
    losses["annotator"] = annotator_losses
    return SimpleNamespace(parts=parts, losses=losses, latents=latents, control=control)


@pytest.mark.parametrize("stage", ["vae", "text_encoder", "unet", "annotator"])
def test_a_stage_lowers_its_loss(trained: SimpleNamespace, stage: str) -> None:
    losses = trained.losses[stage]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_a_control_starts_silent_and_learns_to_speak(trained: SimpleNamespace) -> None:
    fresh = controlnet.build_controlnet(unet.build_unet())
    inputs = (torch.randn(1, 4, 16, 16), torch.tensor([500]), torch.randn(1, 77, 128), torch.rand(1, 3, 128, 128))
    for model, silent in ((fresh, True), (trained.control, False)):
        with torch.no_grad():
            residuals, middle = model(*inputs, return_dict=False)
        assert all(not residual.any() for residual in (*residuals, middle)) is silent
    assert np.isfinite(trained.losses["controlnet"]).all()


def test_a_control_with_a_mask_is_trained_alike(trained: SimpleNamespace, tokenizer: CLIPTokenizer) -> None:
    load = stages.UNet2DConditionModel.from_pretrained(trained.parts / "unet")
    captions = unet.Captions(tokenizer, text_encoder.load_text_encoder(trained.parts / "text_encoder"), EXAMPLES)
    hints = corpus.hint_pictures(EXAMPLES, "inpaint", quiet)
    schedule = Schedule(steps=3, batch=6, rate=1.5e-3, warmup=2)
    control, losses = controlnet.train_controlnet(ALONE, load, EXAMPLES, hints, trained.latents, captions, schedule)
    assert np.isfinite(losses).all() and len(losses) == 3
    assert control.config.conditioning_channels == 3


def test_whitened_latents_are_unit_normal_and_decode_alike(images: np.ndarray, trained: SimpleNamespace) -> None:
    assert trained.latents.float().std((0, 2, 3)).tolist() == pytest.approx([1] * 4, abs=0.1)
    assert trained.latents.float().mean((0, 2, 3)).tolist() == pytest.approx([0] * 4, abs=0.1)
    torch.manual_seed(0)
    plain = vae.build_vae()
    assert vae.psnr(vae.whitened(plain, images), images[:8]) == pytest.approx(vae.psnr(plain, images[:8]), abs=0.01)


def test_the_skeleton_averages_blocks_before_any_training(images: np.ndarray) -> None:
    torch.manual_seed(0)
    fresh = vae.build_vae()
    vae.calibrate(fresh, corpus.to_tensor(images[:16]))
    blocks = torch.nn.functional.avg_pool2d(corpus.to_tensor(images[:16]), 8)
    coarse = torch.nn.functional.interpolate(blocks, scale_factor=8)
    target = float((-10 * torch.log10(((coarse - corpus.to_tensor(images[:16])) / 2).square().mean((1, 2, 3)))).mean())
    assert vae.psnr(fresh, images[:16]) > target - 1.5


def test_the_assembled_folder_makes_a_picture_and_names_no_machine(trained: SimpleNamespace, tmp_path: Path) -> None:
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline

    names = ("tokenizer", "text_encoder", "vae", "unet")
    controls = {"canny": trained.parts / "controlnet-canny"}
    assemble({n: trained.parts / n for n in names}, controls, trained.parts / "annotator", tmp_path)
    own, assembled = (load_net(folder / "annotator").state_dict() for folder in (trained.parts, tmp_path))
    assert all(torch.equal(own[name], assembled[name]) for name in own) and own
    for settings in tmp_path.rglob("*.json"):
        assert str(trained.parts) not in settings.read_text(encoding="utf-8"), settings
    assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".json", ".safetensors"}
    control = ControlNetModel.from_pretrained(tmp_path / "controlnet-canny")
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(tmp_path, controlnet=control, dtype=torch.float32)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.config.timestep_spacing == "trailing"
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline("a red ring", image=torch.zeros(1, 3, 128, 128), num_inference_steps=2, output_type="np").images
    assert drawn.shape == (1, 128, 128, 3) and np.isfinite(drawn).all()


def test_weights_too_large_for_half_precision_are_refused(trained: SimpleNamespace, tmp_path: Path) -> None:
    broken = unet.build_unet()
    torch.nn.init.constant_(broken.conv_in.bias, 1e6)
    broken.save_pretrained(tmp_path / "unet")
    parts = {n: trained.parts / n for n in ("tokenizer", "text_encoder", "vae")} | {"unet": tmp_path / "unet"}
    with pytest.raises(ValueError, match="unet is not finite"):
        assemble(parts, {}, trained.parts / "annotator", tmp_path / "out")
    annotator = AnnotatorNet()
    torch.nn.init.constant_(annotator.heads.bias, 1e6)
    with pytest.raises(ValueError, match="annotator is not finite"):
        save_net(annotator, tmp_path / "annotator")


def test_tokenizer_round_trip(tokenizer: CLIPTokenizer) -> None:
    text = "a purple triangle and an orange ring on a cyan to pink gradient background"
    ids = tokenizer(text, padding="max_length", max_length=77, truncation=True).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text
    assert len(ids) == 77 and ids.count(tokenizer.bos_token_id) == 1 and ids[-1] == tokenizer.pad_token_id
    assert tokenizer.tokenize("A Red CIRCLE") == ["a</w>", "red</w>", "circle</w>"]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (START, END, END)
    strange = "éclair 42 ☃ xyzzy"
    assert (
        tokenizer.decode(tokenizer(strange).input_ids, skip_special_tokens=True).split()
        == strange.replace("42", "4 2").split()
    )
    assert tokenizer.unk_token_id not in tokenizer(strange).input_ids[1:-1]


def test_the_truth_names_the_ground_and_each_shape_s_colour(tokenizer: CLIPTokenizer) -> None:
    scene = EXAMPLES[0].scene
    truth = text_encoder.answers(scene)
    assert truth[0] == text_encoder.COLOURS.index(scene.ground)
    for shape, answer in zip(text_encoder.SHAPES, truth[3:], strict=True):
        colours = [text_encoder.COLOURS.index(solid.colour) for solid in scene.solids if solid.shape == shape]
        assert answer == (colours[0] if colours else text_encoder.ABSENT)
    tokens = corpus.token_ids(tokenizer, EXAMPLES[:1])[:, 0].long()
    mask = text_encoder.padding(tokens, tokenizer)
    assert mask[0, -1]
    assert not mask[0, 0]


def test_crowded_pictures_are_drawn_four_times_in_five() -> None:
    odds = controlnet.sampling_odds([1, 1, 1, 2, 3])
    assert odds.sum().item() == pytest.approx(1)
    assert odds[3:].sum().item() == pytest.approx(controlnet.CROWDED_SHARE)
    assert odds[3] == odds[4]
    for alone in ([1, 1], [2, 2]):
        assert controlnet.sampling_odds(alone).tolist() == pytest.approx([0.5, 0.5])


def test_coverage_is_the_share_of_solid_in_a_latent_cell() -> None:
    shares = corpus.coverage(EXAMPLES[:2], 16)
    assert shares.shape == (2, 1, 16, 16)
    ids = corpus.render(EXAMPLES[0].scene, 128).ids
    assert shares[0, 0, 5, 7] == pytest.approx((ids[40:48, 56:64] > 0).mean())
    assert 0 < shares.mean() < 1


def test_a_control_reads_pictures_from_zero_to_one_and_minus_one_where_it_repaints() -> None:
    hints = np.full((2, 4, 4, 4), 51, np.uint8)
    hints[..., 3] = 0
    hints[1, :2, :, 3] = 255
    read = controlnet.conditioning(hints)
    assert read.shape == (2, 3, 4, 4)
    assert read[0].unique().tolist() == pytest.approx([0.2])
    assert (read[1, :, :2] == -1).all() and read[1, :, 2:].unique().tolist() == pytest.approx([0.2])
    torch.testing.assert_close(controlnet.conditioning(hints[..., :3]), torch.full((2, 3, 4, 4), 0.2))


def test_solids_count_more_and_of_a_masked_picture_what_is_kept_and_the_seam() -> None:
    plain = np.zeros((2, 128, 128, 3), np.uint8)
    shares = torch.from_numpy(corpus.coverage(EXAMPLES[:2], 16))
    weights = controlnet.attention(EXAMPLES[:2], plain, 16)
    assert weights.mean((1, 2, 3)).tolist() == pytest.approx([1, 1])
    assert weights[0].max() / weights[0].min() == pytest.approx(1 + controlnet.SOLID_WEIGHT)
    assert weights[0].argmax() == shares[0].argmax()
    masked = np.zeros((2, 128, 128, 4), np.uint8)
    masked[:, :, :68, 3] = 255
    weights = controlnet.attention(EXAMPLES[:2], masked, 16)
    assert weights.mean((1, 2, 3)).tolist() == pytest.approx([1, 1])
    kept, ground = weights[0, 0, :, 9:], weights[0, 0, :, :8][shares[0, 0, :, :8] == 0]
    assert kept.unique().numel() == 1, "what is kept counts alike, solid or not"
    assert (kept[0, 0] / ground[0]).item() == pytest.approx(1 + controlnet.KEPT_WEIGHT)
    assert (weights[0, 0, :, 8] > kept[0, 0]).all(), "the seam counts most"


def test_pure_noise_still_points_at_the_latents() -> None:
    torch.manual_seed(0)
    noising, latents = Noising(), torch.randn(64, 4, 4, 4)
    timesteps = torch.full((64,), 999)
    sample, velocity = noising(latents, timesteps)
    signal = noising.signal[999]
    torch.testing.assert_close(signal.sqrt() * sample - (1 - signal).sqrt() * velocity, latents, atol=1e-4, rtol=1e-4)
    mixed = torch.stack([(s * z).mean() / z.square().mean() for s, z in zip(sample, latents, strict=True)])
    assert abs(float(mixed.mean())) < 0.1
    early = torch.full((64,), NOISE_FROM - 1)
    expected = build_scheduler().get_velocity(latents, torch.zeros_like(latents), early)
    sample, velocity = noising(latents, early)
    noise = (sample - noising.signal[early[0]].sqrt() * latents) / (1 - noising.signal[early[0]]).sqrt()
    torch.testing.assert_close(velocity, expected + noising.signal[early[0]].sqrt() * noise, atol=1e-4, rtol=1e-4)


def test_timesteps_are_stratified() -> None:
    drawn = stratified_timesteps(90, lowest=100).sort().values
    assert ((drawn - torch.arange(100, 1000, 10)).clamp(min=0) < 10).all() and drawn.min() >= 100
    assert stratified_timesteps(1000, power=0.85).float().mean() > 520


def test_a_schedule_warms_up_holds_and_falls() -> None:
    schedule = Schedule(steps=1000, batch=2, rate=1.0, warmup=10, hold=0.5, last=0.01)
    rates = [schedule.rate_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[500] == 1.0
    assert rates[-1] == pytest.approx(0.01, abs=1e-3) and rates[500:] == sorted(rates[500:], reverse=True)
    assert schedule.scaled(0.01).steps == 10 and schedule.scaled(1e-9).steps == 2


@pytest.mark.slow
def test_two_processes_stay_one_model(tmp_path: Path) -> None:
    seen: list[Progress] = []
    run_crew(record_average, tmp_path, size=2, watch=seen.append)
    first, second = (np.load(tmp_path / f"{rank}.npy") for rank in range(2))
    np.testing.assert_array_equal(first, second)
    assert [p.step for p in seen] == [1, 2, 3] and [p.loss for p in seen] == pytest.approx(first[-3:].tolist())


@pytest.mark.slow
def test_one_failing_process_ends_the_crew_with_its_reason() -> None:
    with pytest.raises(CrewError, match="the second one gives up"):
        run_crew(fail_second, size=2, watch=lambda progress: None)


def fake_stages(log: list[str]) -> Callable[..., None]:
    """Stands in for run_crew: notes the stage and leaves what a stage leaves."""

    def run(worker: object, name: str, shop: Workshop, folder: Path, outcome: Path, **options: object) -> None:
        log.append(name)
        (folder / "result").write_text(name, encoding="utf-8")
        outcome.write_text(json.dumps({"losses": [1.0]}), encoding="utf-8")

    return run


def test_finished_stages_are_kept_and_others_are_run(tmp_path: Path) -> None:
    log: list[str] = []
    run = fake_stages(log)
    assert train.train(Workshop(tmp_path), crew=run) == tmp_path / "weights"
    assert log == list(STAGES)
    log.clear()
    train.train(Workshop(tmp_path), crew=run)
    assert log == ["weights"]
    log.clear()
    train.train(Workshop(tmp_path), only=["controlnet-depth"], crew=run)
    assert log == ["controlnet-depth", "weights"]
    with pytest.raises(train.OtherRecipe, match="other settings"):
        train.train(Workshop(tmp_path, scale=0.5), crew=run)
    with pytest.raises(train.UnknownStage, match="controlnet-scent"):
        train.train(Workshop(tmp_path), only=["controlnet-scent"], crew=run)


def test_one_stage_brings_what_it_needs_and_no_more(tmp_path: Path) -> None:
    log: list[str] = []
    train.train(Workshop(tmp_path), only=["text_encoder"], crew=fake_stages(log))
    assert log == ["tokenizer", "text_encoder"]
    with pytest.raises(MissingPart, match="train the stage 'unet' first"):
        Workshop(tmp_path).part("unet")


def test_a_base_brings_its_parts_and_one_control_is_trained_on_them(tmp_path: Path) -> None:
    base, log = tmp_path / "base", []
    for name in (*stages.PIPELINE_PARTS, "controlnet-canny"):
        (base / name).mkdir(parents=True)
    shop = Workshop(tmp_path / "new", base=base)
    train.train(shop, crew=fake_stages(log))
    assert log == ["latents", *(f"controlnet-{k}" for k in recipe.CONTROLS if k != "canny"), "annotator", "weights"]
    assert shop.part("controlnet-canny").parent == base and shop.part("controlnet-depth").parent == shop.folder


def test_latents_come_back_in_the_order_of_their_pictures(tmp_path: Path) -> None:
    whole = np.arange(7, dtype=np.float16).reshape(7, 1, 1, 1)
    (tmp_path / "latents").mkdir()
    for rank in range(2):
        np.save(tmp_path / "latents" / f"share-{rank}.npy", whole[rank::2])
    shop = Workshop(tmp_path)
    assert shop.latents(range(7)).flatten().tolist() == list(range(7))
    assert shop.latents(range(1, 7, 3)).flatten().tolist() == [1, 4]
