import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from controlmesh.v1 import preprocess_pb2, types_pb2
from families.facts import Concat
from families.limits import PROMPT_CHARACTERS
from families.manifest import Manifest, tokenizer_paths
from mesh.admission import Admission
from mesh.decoders import Decoding
from mesh.errors import InvalidInput
from mesh.pictures import decode, encode
from mesh.tensors import to_array
from preprocess_svc.controls import CONTROLS
from preprocess_svc.servicer import PreprocessServicer
from preprocess_svc.styles import load_styles
from tests.rigs.hints import usual
from tests.rigs.model_cards import card, encoder

MODEL = card(
    name="demo",
    text_width=2,
    encoders=(encoder(width=2, pad=707, bos=706, eos=707),),
    controls=("canny", "inpaint"),
)
PICTURE = np.random.default_rng(1).integers(0, 256, (64, 128, 3), np.uint8)
MASK = np.zeros((64, 128, 3), np.uint8)
MASK[:, 64:] = 255


class Encoder:
    """Stands in for Triton: a token's state is its id."""

    async def infer(self, model: str, inputs: dict[str, np.ndarray], outputs: list[str]) -> dict[str, Any]:
        return {"hidden": np.repeat(inputs["input_ids"][..., None], 2, axis=2).astype(np.float32)}


def made(tmp_path: Path, decoding: Decoding | None = None, model: Manifest = MODEL) -> PreprocessServicer:
    (target,) = tokenizer_paths(tmp_path, model)
    target.parent.mkdir()
    shutil.copyfile(Path(__file__).parents[3] / "demo/weights/tokenizer/tokenizer.json", target)
    admission = Admission(2, 2, "requests in preparation")
    triton: Any = Encoder()
    return PreprocessServicer([model], tmp_path, triton, admission, load_styles(), decoding=decoding)


@pytest.fixture
def servicer(tmp_path: Path) -> PreprocessServicer:
    return made(tmp_path)


def image(pixels: np.ndarray) -> types_pb2.Image:
    return types_pb2.Image(content=encode(pixels))


def request(**fields: Any) -> preprocess_pb2.PrepareRequest:
    return preprocess_pb2.PrepareRequest(**{"model": "demo", "prompt": "a red star", "guidance": True, **fields})


async def test_a_mask_comes_back_at_the_size_of_the_picture(servicer: PreprocessServicer) -> None:
    response = await servicer.Prepare(request(mask=image(MASK), width=256, height=128), None)
    mask = to_array(response.conditioning.mask, field="mask", ndim=2, dtype="uint8")
    assert mask.shape == (128, 256)
    assert mask.dtype == np.uint8
    assert (mask[:, 136:] == 255).all()
    assert (mask[:, :120] == 0).all()
    assert not (await servicer.Prepare(request(), None)).conditioning.HasField("mask")


@pytest.mark.parametrize(
    ("concat", "mask", "said"), [(None, True, False), (Concat(), True, True), (Concat(), False, False)]
)
async def test_a_model_that_repaints_asks_for_the_masked_picture(
    tmp_path: Path, concat: Concat | None, mask: bool, said: bool
) -> None:
    service = made(tmp_path, model=replace(MODEL, concat=concat))
    response = await service.Prepare(request(mask=image(MASK) if mask else None), None)
    assert response.reads_masked is said


async def test_the_size_comes_from_the_initial_picture_then_the_control_then_the_model(
    servicer: PreprocessServicer,
) -> None:
    control = types_pb2.Control(kind="canny", image=image(PICTURE))  # twice as wide as high
    sizes = []
    for fields in (
        {"picture_width": 100, "picture_height": 200, "controls": [control]},
        {"controls": [control]},
        {},
        {"picture_width": 100, "picture_height": 200, "width": 64, "height": 72},
        {"picture_width": 100, "picture_height": 200, "width": 64},
    ):
        conditioning = (await servicer.Prepare(request(**fields), None)).conditioning
        sizes.append((conditioning.width, conditioning.height))
    assert sizes == [(128, 256), (256, 128), (128, 128), (64, 72), (64, 128)]


async def test_an_inpaint_hint_has_the_request_s_mask_or_its_own(servicer: PreprocessServicer) -> None:
    shared = types_pb2.Control(kind="inpaint", image=image(PICTURE))
    own = types_pb2.Control(kind="inpaint", image=image(PICTURE), mask=image(MASK[:, ::-1]))
    response = await servicer.Prepare(request(controls=[shared, own], mask=image(MASK), width=128, height=64), None)
    first, second = (to_array(hint.pixels, field="hint", ndim=3, dtype="uint8") for hint in response.conditioning.hints)
    assert first.shape == second.shape == (4, 64, 128)
    np.testing.assert_array_equal(first[3], MASK[..., 0])
    np.testing.assert_array_equal(second[3], MASK[:, ::-1, 0])
    np.testing.assert_array_equal(first[:3, :, :64], PICTURE.transpose(2, 0, 1)[:, :, :64])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"mask": types_pb2.Image()}, "mask"),
        ({"mask": types_pb2.Image(content=b"nonsense")}, "mask"),
        ({"mask": types_pb2.Image(content=encode(MASK)[:90])}, "mask"),
        ({"controls": [types_pb2.Control(kind="inpaint", image=image(PICTURE))]}, "controls[0].mask"),
        ({"controls": [types_pb2.Control(kind="canny", image=image(PICTURE), mask=image(MASK))]}, "controls[0].mask"),
        (
            {"controls": [types_pb2.Control(kind="inpaint", image=image(PICTURE), mask=types_pb2.Image())]},
            "controls[0].mask",
        ),
        ({"picture_width": -5, "picture_height": 5}, "picture_width"),
        ({"picture_width": 5}, "picture_height"),
        ({"prompt": "a" * (PROMPT_CHARACTERS + 1)}, "prompt"),
        ({"negative_prompt": "a" * (PROMPT_CHARACTERS + 1)}, "negative_prompt"),
        ({"clip_skip": 2}, "clip_skip"),
    ],
)
async def test_what_is_wrong_is_named(servicer: PreprocessServicer, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        await servicer.Prepare(request(**fields), None)
    assert error.value.field == field


async def test_the_prompts_that_were_encoded_are_reported(servicer: PreprocessServicer) -> None:
    plain = await servicer.Prepare(request(negative_prompt="blue"), None)
    assert (plain.prompt, plain.negative_prompt, list(plain.notes)) == ("a red star", "blue", [])
    styled = await servicer.Prepare(request(negative_prompt="blue", enhance_style="anime", enhance_prompt=True), None)
    book = load_styles()
    anime = book.styles["anime"]
    assert styled.prompt == anime.prompt.replace("{prompt}", "a red star") + ", " + book.quality
    assert styled.negative_prompt == f"blue, {anime.negative_prompt}"
    sent_again = await servicer.Prepare(request(prompt=styled.prompt, negative_prompt=styled.negative_prompt), None)
    assert sent_again.conditioning == styled.conditioning


async def test_tags_are_neither_encoded_nor_reported_as_words(servicer: PreprocessServicer) -> None:
    tagged = {"prompt": "a red star <lora:x:0.8>", "negative_prompt": "<lyco:y> blue"}
    plain = {"prompt": "a red star", "negative_prompt": "blue"}
    for style in ({}, {"enhance_style": "anime", "enhance_prompt": True}):
        sent = await servicer.Prepare(request(**tagged, **style), None)
        bare = await servicer.Prepare(request(**plain, **style), None)
        assert (sent.prompt, sent.negative_prompt) == (bare.prompt, bare.negative_prompt)
        assert sent.conditioning == bare.conditioning
        assert [said.partition(",")[0] for said in sent.notes] == [
            "negative_prompt has <lyco:y>",
            "prompt has <lora:x:0.8>",
        ]
        assert list(bare.notes) == []
    (said,) = (await servicer.Prepare(request(**tagged, guidance=False), None)).notes
    assert said.startswith("prompt has <lora:x:0.8>"), "a negative prompt that is not encoded has no words to lose"


async def test_the_longest_prompt_may_be_enhanced(servicer: PreprocessServicer) -> None:
    response = await servicer.Prepare(request(prompt="a " * (PROMPT_CHARACTERS // 2), enhance_style="anime"), None)
    assert len(response.prompt) > PROMPT_CHARACTERS


async def test_an_unknown_style_is_a_note(servicer: PreprocessServicer) -> None:
    response = await servicer.Prepare(request(enhance_style="no-such"), None)
    assert response.prompt == "a red star"
    (note,) = response.notes
    assert note.startswith("enhance_style 'no-such' is unknown, so no style was applied; known: 3d-model, ")
    assert " more" in note and len(note) < 300


async def test_weights_are_read_unless_they_are_turned_off(servicer: PreprocessServicer) -> None:
    weighted = "a (red:1.5) " + "star " * 80
    absent = await servicer.Prepare(request(prompt=weighted), None)
    on = await servicer.Prepare(request(prompt=weighted, prompt_weighting=True), None)
    off = await servicer.Prepare(request(prompt=weighted, prompt_weighting=False), None)
    assert absent == on
    assert list(on.conditioning.text.shape) == [2, 154, 2]
    assert list(off.conditioning.text.shape) == [2, 77, 2]
    assert "were dropped" in off.notes[0]
    single = await servicer.Prepare(request(prompt=weighted, guidance=False), None)
    np.testing.assert_array_equal(
        to_array(single.conditioning.text, field="text", ndim=3)[0],
        to_array(on.conditioning.text, field="text", ndim=3)[1],
    )


async def test_an_extracted_inpaint_hint_shows_the_picture_with_the_masked_part_black(
    servicer: PreprocessServicer,
) -> None:
    control = types_pb2.Control(kind="inpaint", image=image(PICTURE), mask=image(MASK))
    response = await servicer.ExtractHint(
        preprocess_pb2.ExtractHintRequest(control=control, width=128, height=64), None
    )
    shown = decode(response.hint.content)
    np.testing.assert_array_equal(shown[:, :64], PICTURE[:, :64])
    assert not shown[:, 64:].any()
    control.ClearField("mask")
    with pytest.raises(InvalidInput, match="needs a mask"):
        await servicer.ExtractHint(preprocess_pb2.ExtractHintRequest(control=control), None)


async def test_styles_and_controls_are_listed(servicer: PreprocessServicer) -> None:
    styles = (await servicer.ListStyles(preprocess_pb2.ListStylesRequest(), None)).styles
    names = [style.name for style in styles]
    assert names == sorted(load_styles().styles)
    assert all("{prompt}" in style.prompt for style in styles)
    controls = (await servicer.ListControls(preprocess_pb2.ListControlsRequest(), None)).controls
    kinds = [control.kind for control in controls]
    assert kinds == sorted(CONTROLS)
    assert [control.kind for control in controls if control.reads_mask] == ["inpaint"]
    assert {control.kind for control in controls if control.extractable} == {kind for kind in CONTROLS if usual(kind)}
    assert {control.kind: list(control.models) for control in controls if control.models} == {
        "canny": ["demo"],
        "inpaint": ["demo"],
    }
    assert {control.kind: [one.name for one in control.extractors] for control in controls} == {
        kind: [one.name for one in control.extractors] for kind, control in CONTROLS.items()
    }
    for control in controls:
        names = [parameter.name for parameter in control.parameters]
        chosen = usual(control.kind)
        assert names == ([parameter.name for parameter in chosen.parameters] if chosen else [])
        assert {one.family: list(one.ids) for one in control.controlnets} == {
            family: list(ids) for family, ids in CONTROLS[control.kind].controlnets.items()
        }


INK = np.full((64, 64, 3), 255, np.uint8)
INK[30:33, 8:56] = 0


async def test_what_was_put_right_is_noted(servicer: PreprocessServicer) -> None:
    control = types_pb2.Control(kind="canny", image=image(INK), auto_hint=False)
    response = await servicer.Prepare(request(controls=[control], width=64, height=64), None)
    hint = to_array(response.conditioning.hints[0].pixels, field="hint", ndim=3, dtype="uint8")
    np.testing.assert_array_equal(hint, 255 - INK.transpose(2, 0, 1))
    (note,) = response.notes
    assert note.startswith("controls[0]: ") and "inverted" in note
    control.auto_hint = True
    assert not (await servicer.Prepare(request(controls=[control], width=64, height=64), None)).notes


def extraction(width: int = 64, height: int = 64, **control: Any) -> preprocess_pb2.ExtractHintRequest:
    return preprocess_pb2.ExtractHintRequest(control=types_pb2.Control(**control), width=width, height=height)


async def test_an_extracted_hint_says_how_it_came_about(servicer: PreprocessServicer) -> None:
    made = await servicer.ExtractHint(extraction(kind="canny", image=image(PICTURE)), None)
    assert (made.extractor, made.annotator, list(made.notes)) == ("canny", "", [])
    assert made.seconds > 0
    ready = await servicer.ExtractHint(extraction(kind="scribble", image=image(INK), auto_hint=False), None)
    np.testing.assert_array_equal(decode(ready.hint.content), 255 - INK)
    assert ready.extractor == ""
    assert "inverted" in ready.notes[0]


async def test_a_hint_is_made_of_words(servicer: PreprocessServicer) -> None:
    control = types_pb2.Control(kind="qrcode", text="https://example.org")
    square = await servicer.ExtractHint(preprocess_pb2.ExtractHintRequest(control=control), None)
    assert (square.hint.width, square.hint.height, square.extractor) == (512, 512, "text")
    assert square.seconds > 0
    assert decode(square.hint.content).shape == (512, 512, 3)
    wide = await servicer.ExtractHint(extraction(256, 128, kind="qrcode", text="https://example.org"), None)
    assert decode(wide.hint.content).shape == (128, 256, 3)
    for wrong in ({"kind": "canny", "text": "hello"}, {"kind": "qrcode", "text": "hello", "image": image(INK)}):
        with pytest.raises(InvalidInput) as error:
            await servicer.ExtractHint(extraction(**wrong), None)
        assert error.value.field == "control.text"


async def test_several_hints_come_in_the_order_of_their_requests(servicer: PreprocessServicer) -> None:
    wanted = [
        extraction(kind="canny", image=image(PICTURE)),
        extraction(128, 72, kind="qrcode", text="hello"),
        extraction(kind="scribble", image=image(INK)),
    ]
    hints = (await servicer.ExtractHints(preprocess_pb2.ExtractHintsRequest(requests=wanted), None)).hints
    assert [hint.extractor for hint in hints] == ["canny", "text", "drawing"]
    assert [(hint.hint.width, hint.hint.height) for hint in hints] == [(64, 64), (128, 72), (64, 64)]
    for hint, one in zip(hints, wanted, strict=True):
        alone = await servicer.ExtractHint(one, None)
        assert alone.hint == hint.hint
        assert hint.seconds > 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"kind": "telepathy", "image": image(PICTURE)}, "requests[1].control.kind"),
        ({"kind": "canny"}, "requests[1].control.image"),
        ({"kind": "canny", "image": types_pb2.Image(content=b"GIF89a")}, "requests[1].control.image"),
        ({"kind": "canny", "image": image(PICTURE), "mask": image(MASK)}, "requests[1].control.mask"),
        (
            {"kind": "canny", "image": image(PICTURE), "parameters": {"low_threshold": -1}},
            "requests[1].control.parameters.low_threshold",
        ),
        ({"kind": "canny", "image": image(PICTURE), "extractor": "best"}, "requests[1].control.extractor"),
        ({"kind": "canny", "image": image(PICTURE), "width": 72, "height": 65}, "requests[1].height"),
    ],
)
async def test_of_several_hints_the_wrong_one_is_named(
    servicer: PreprocessServicer, wrong: dict[str, Any], field: str
) -> None:
    wanted = [extraction(kind="canny", image=image(PICTURE)), extraction(**wrong)]
    with pytest.raises(InvalidInput) as error:
        await servicer.ExtractHints(preprocess_pb2.ExtractHintsRequest(requests=wanted), None)
    assert error.value.field == field


@pytest.mark.parametrize("count", [0, 17])
async def test_too_few_and_too_many_hints_are_refused(servicer: PreprocessServicer, count: int) -> None:
    wanted = [extraction(kind="canny", image=image(PICTURE))] * count
    with pytest.raises(InvalidInput, match="1 to 16") as error:
        await servicer.ExtractHints(preprocess_pb2.ExtractHintsRequest(requests=wanted), None)
    assert error.value.field == "requests"


async def test_a_mask_that_marks_nothing_is_said_with_the_conditioning(servicer: PreprocessServicer) -> None:
    zeros_and_ones = np.where(MASK > 0, 1, 0).astype(np.uint8)
    response = await servicer.Prepare(request(mask=image(zeros_and_ones), width=128, height=64), None)
    assert any("the mask marks nothing" in note for note in response.notes)
    own = types_pb2.Control(kind="inpaint", image=image(PICTURE), mask=image(zeros_and_ones))
    response = await servicer.Prepare(request(controls=[own], width=128, height=64), None)
    assert any(note.startswith("controls[0]: the mask marks nothing") for note in response.notes)
    response = await servicer.Prepare(request(mask=image(MASK), width=128, height=64), None)
    assert not any("mask" in note for note in response.notes)


async def test_a_picture_is_written_anew(servicer: PreprocessServicer) -> None:
    sent = preprocess_pb2.ConvertPictureRequest(image=image(PICTURE), square=True)
    shown = (await servicer.ConvertPicture(sent, None)).image
    assert (shown.width, shown.height, shown.format) == (64, 64, types_pb2.IMAGE_FORMAT_PNG)
    np.testing.assert_array_equal(decode(shown.content), PICTURE[:, 32:96])
    for format, start in (
        ("BMP", b"BM"),
        ("GIF", b"GIF8"),
        ("TIFF", b"II*\0"),
        ("WEBP", b"RIFF"),
        ("JPEG", b"\xff\xd8"),
    ):
        number = types_pb2.ImageFormat.Value(f"IMAGE_FORMAT_{format}")
        sent = preprocess_pb2.ConvertPictureRequest(image=image(PICTURE), format=number)
        shown = (await servicer.ConvertPicture(sent, None)).image
        assert (shown.width, shown.height, shown.format) == (128, 64, number) and shown.content.startswith(start)
    with pytest.raises(InvalidInput, match="format must be one of PNG"):
        await servicer.ConvertPicture(preprocess_pb2.ConvertPictureRequest(image=image(PICTURE), format=99), None)
    with pytest.raises(InvalidInput, match="cannot identify image file in image"):
        await servicer.ConvertPicture(preprocess_pb2.ConvertPictureRequest(image={"content": b"no"}), None)


class Recording:
    """Decodes the pictures that it is told to, and waits for ever with the others."""

    def __init__(self) -> None:
        self.left: list[str] = []

    async def run(self, work: Any, content: bytes, field: str, /, *args: Any, **named: Any) -> Any:
        if field.startswith("controls[1]"):
            raise InvalidInput("broken", field=field)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.left.append(field)
            raise


async def test_one_picture_that_is_refused_stops_the_decoding_of_the_others(tmp_path: Path) -> None:
    decoding = Recording()
    servicer = made(tmp_path, decoding)
    controls = [types_pb2.Control(kind="canny", image=image(PICTURE)) for _ in range(3)]
    with pytest.raises(InvalidInput, match="broken"):
        await servicer.Prepare(request(controls=controls), None)
    assert decoding.left == ["controls[0].image", "controls[2].image"]
