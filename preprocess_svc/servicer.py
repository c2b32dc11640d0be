"""PreprocessService: decode, call, encode."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import Histogram

from controlmesh.v1 import preprocess_pb2, preprocess_pb2_grpc, types_pb2
from families import graphs
from families.limits import (
    MOST_HINTS,
    SIDE,
)
from families.loaded import LoadedModels
from families.manifest import Manifest
from families.pictures import encoder_inputs
from families.table import family_of
from mesh.admission import Admission
from mesh.concurrency import both, together
from mesh.decoders import Decoding, Threads
from mesh.errors import InvalidInput, MeshError
from mesh.pictures import Pixels, encode, upright_size
from mesh.prompt_tags import note, without_tags
from mesh.soundness import not_finite, sound
from mesh.tensors import to_message
from mesh.triton import Triton
from preprocess_svc.annotators import Annotators
from preprocess_svc.checks import check_controls, check_prompts, check_sizes
from preprocess_svc.conditioning import has_negative, hint_message, unread, vector_message
from preprocess_svc.controls import CONTROLS
from preprocess_svc.descriptions import kind_message
from preprocess_svc.fitting import FittedMask, converted, fitted_mask
from preprocess_svc.hints import MadeHint, Wish, find_control, make_hint
from preprocess_svc.remarks import on_mask
from preprocess_svc.sizes import fitted_size, picture_size, target_size
from preprocess_svc.styles import StyleBook
from preprocess_svc.text import NEGATIVE, TextEncoder

HINT_SECONDS = Histogram("cn_hint_duration_seconds", "Time to make one hint.", ["kind"])
_DEFAULT_SHORT_SIDE = 512
_BROKEN_VAE = not_finite("the hint's latents", "the weights of the model's VAE may be broken")
_FORMATS = {number: name.removeprefix("IMAGE_FORMAT_") for name, number in types_pb2.ImageFormat.items() if number}


class PreprocessServicer(preprocess_pb2_grpc.PreprocessServiceServicer):
    """Serves PreprocessService.

    Args:
        models: the loaded models.
        repository: folder of their cards.
        triton: client of the model server.
        admission: limit on concurrent requests.
        styles: the styles and quality words for prompts.
        annotators: the models that extract hints; none by default.
        decoding: decodes pictures; None: in threads of this process.
    """

    def __init__(
        self,
        models: list[Manifest],
        repository: Path,
        triton: Triton,
        admission: Admission,
        styles: StyleBook,
        annotators: Annotators | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        self._models = LoadedModels(models, repository)
        self._repository = repository
        self._triton = triton
        self._encoders = {model.name: TextEncoder(model, repository, triton) for model in models}
        self._admission = admission
        self._styles = styles
        self._annotators = annotators or Annotators()
        self._decoding = decoding or Threads()

    async def Prepare(self, request: preprocess_pb2.PrepareRequest, context: Any) -> preprocess_pb2.PrepareResponse:
        """Prepare the text embeddings and hints of one request; see the .proto."""
        model = await self._models.seek(request.model, self._is_served)
        check_prompts(request)
        check_controls(request, model)
        check_sizes(request, model)
        picture = picture_size(request.picture_width, request.picture_height)
        async with self._admission:
            if request.controls and request.controls[0].HasField("image"):
                first = upright_size(request.controls[0].image.content, field="controls[0].image")
                picture = picture or first
            size = target_size(request.width, request.height, picture, model, model.defaults.size)
            mask = await self._mask(request, size)
            # Before words are added, so that the prompts in the answer are what is encoded.
            (prompt, tags), (negative, of_negative) = map(without_tags, (request.prompt, request.negative_prompt))
            words = self._styles.enhance(prompt, negative, request.enhance_prompt, request.enhance_style)
            prompts = [("prompt", words.prompt)]
            tagged = {"prompt": tags}
            if has_negative(request, model):
                tagged = {NEGATIVE: of_negative, **tagged}
                prompts.insert(0, (NEGATIVE, words.negative_prompt))
            weighting = request.prompt_weighting if request.HasField("prompt_weighting") else True
            # The first that fails stops the others: nobody waits for their pictures any more.
            encoded, made = await both(
                self._encoders[model.name].encode(prompts, request.clip_skip, weighting),
                together(
                    self._made(control, size, f"controls[{i}]", model, mask.pixels if mask else None)
                    for i, control in enumerate(request.controls)
                ),
            )
            posteriors = [await self._posterior(hint, model) for hint in made]
        return preprocess_pb2.PrepareResponse(
            conditioning=types_pb2.Conditioning(
                model=model.name,
                text=to_message(encoded.text),
                vector=vector_message(encoded, model, request, size),
                hints=[
                    hint_message(control, hint, posterior)
                    for control, hint, posterior in zip(request.controls, made, posteriors, strict=True)
                ],
                width=size[0],
                height=size[1],
                mask=None if mask is None else to_message(mask.pixels),
            ),
            notes=[
                *(note(field, found) for field, found in tagged.items() if found),
                *words.notes,
                *encoded.notes,
                *unread(request, model),
                *(on_mask(mask) if mask else ()),
                *(said for hint in made for said in hint.notes),
            ],
            prompt=words.prompt,
            negative_prompt=words.negative_prompt,
            reads_masked=model.repaints and mask is not None,
        )

    async def _posterior(self, made: MadeHint, model: Manifest) -> types_pb2.Posterior | None:
        """What the VAE makes of a hint; None for models that read hints as they are."""
        if family_of(model).hint == "pixels":
            return None
        inputs = encoder_inputs(model, np.ascontiguousarray(made.pixels[None, ..., :3]))
        ask = partial(self._triton.infer, graphs.vae_encoder(model.name), inputs, ["mean", "deviation"])
        found = await sound(ask, _BROKEN_VAE)
        return types_pb2.Posterior(
            model=model.name, mean=to_message(found["mean"]), deviation=to_message(found["deviation"])
        )

    async def _mask(self, request: preprocess_pb2.PrepareRequest, size: tuple[int, int]) -> FittedMask | None:
        if not request.HasField("mask"):
            return None
        return await self._decoding.run(fitted_mask, request.mask.content, "mask", size, field="mask")

    async def _made(
        self,
        control: types_pb2.Control,
        size: tuple[int, int],
        at: str,
        model: Manifest | None = None,
        shared_mask: Pixels | None = None,
    ) -> MadeHint:
        """Make the control's hint, for a ControlNet of `model` or of any model; errors name fields under `at`."""
        wish = Wish(
            kind=self._takes(control.kind, model),
            content=control.image.content,
            auto_hint=control.auto_hint if control.HasField("auto_hint") else True,
            parameters=dict(control.parameters),
            extractor=control.extractor,
            text=control.text,
            mask=control.mask.content if control.HasField("mask") else None,
        )
        with HINT_SECONDS.labels(control.kind).time():
            return await make_hint(wish, size, self._annotators, at, shared_mask=shared_mask, decoding=self._decoding)

    async def ExtractHint(
        self, request: preprocess_pb2.ExtractHintRequest, context: Any
    ) -> preprocess_pb2.ExtractHintResponse:
        """Make one hint as a picture; see the .proto."""
        find_control(self._takes(request.control.kind), "control.kind")
        async with self._admission:
            return await self._extracted(request)

    async def ExtractHints(
        self, request: preprocess_pb2.ExtractHintsRequest, context: Any
    ) -> preprocess_pb2.ExtractHintsResponse:
        """Make several hints as pictures; see the .proto."""
        if not 0 < len(request.requests) <= MOST_HINTS:
            raise InvalidInput(
                f"requests must have 1 to {MOST_HINTS} items, not {len(request.requests)}", field="requests"
            )
        hints = await together(self._one_of(one, index) for index, one in enumerate(request.requests))
        return preprocess_pb2.ExtractHintsResponse(hints=hints)

    async def _one_of(
        self, request: preprocess_pb2.ExtractHintRequest, index: int
    ) -> preprocess_pb2.ExtractHintResponse:
        try:
            find_control(self._takes(request.control.kind), "control.kind")
            async with self._admission:
                return await self._extracted(request)
        except MeshError as error:
            if error.field:
                error.field = f"requests[{index}].{error.field}"
            raise

    async def _extracted(self, request: preprocess_pb2.ExtractHintRequest) -> preprocess_pb2.ExtractHintResponse:
        began = time.monotonic()
        control = request.control
        short_side = request.short_side or _DEFAULT_SHORT_SIDE
        for field, side in (("width", request.width), ("height", request.height), ("short_side", short_side)):
            if side and not SIDE.holds(side):
                raise InvalidInput(f"{field} must be {SIDE}, not {side}", field=field)
        if bool(request.width) != bool(request.height):
            raise InvalidInput("give both width and height, or neither", field="width")
        size = (request.width, request.height)
        if not request.width:
            # Text has no proportions: a hint made from it is square.
            without_picture = bool(control.text) and not control.image.content
            picture = (1, 1) if without_picture else upright_size(control.image.content, field="control.image")
            size = fitted_size(picture, short_side)
        made = await self._made(control, size, "control")
        # A mask is the fourth channel; the pixels it marks are black in the others.
        content = await asyncio.to_thread(encode, np.ascontiguousarray(made.pixels[..., :3]))
        return preprocess_pb2.ExtractHintResponse(
            hint=types_pb2.Image(content=content, format=types_pb2.IMAGE_FORMAT_PNG, width=size[0], height=size[1]),
            extractor=made.extractor,
            annotator=made.annotator,
            notes=made.notes,
            seconds=time.monotonic() - began,
        )

    async def ConvertPicture(
        self, request: preprocess_pb2.ConvertPictureRequest, context: Any
    ) -> preprocess_pb2.ConvertPictureResponse:
        """Write a picture anew; see the .proto."""
        number = request.format or types_pb2.IMAGE_FORMAT_PNG
        if number not in _FORMATS:
            raise InvalidInput(f"format must be one of {', '.join(_FORMATS.values())}", field="format")
        async with self._admission:
            content, width, height = await self._decoding.run(
                converted, request.image.content, "image", request.square, _FORMATS[number], field="image"
            )
        image = types_pb2.Image(content=content, format=number, width=width, height=height)
        return preprocess_pb2.ConvertPictureResponse(image=image)

    async def ListControls(
        self, request: preprocess_pb2.ListControlsRequest, context: Any
    ) -> preprocess_pb2.ListControlsResponse:
        """List the controls, what can be extracted here, and which models have a ControlNet for each."""
        added = {name: CONTROLS.get(card.takes(name)) for card in self._models.values() for name in card.added}
        listed = {**{name: control for name, control in added.items() if control}, **CONTROLS}
        models = list(self._models.values())
        return preprocess_pb2.ListControlsResponse(
            controls=[kind_message(name, listed[name], self._annotators, models) for name in sorted(listed)]
        )

    def _takes(self, name: str, model: Manifest | None = None) -> str:
        """The kind of control whose hints the ControlNet of that name takes."""
        cards = [model] if model else self._models.values()
        return next((card.takes(name) for card in cards if name in card.added), name)

    async def ListStyles(
        self, request: preprocess_pb2.ListStylesRequest, context: Any
    ) -> preprocess_pb2.ListStylesResponse:
        """List the styles by name; see the .proto."""
        return preprocess_pb2.ListStylesResponse(
            styles=[
                preprocess_pb2.Style(name=name, prompt=style.prompt, negative_prompt=style.negative_prompt)
                for name, style in sorted(self._styles.styles.items())
            ]
        )

    async def probe(self) -> None:
        """Raise MeshError while prompts can't be encoded; every call tries the next model, and looks for new ones."""
        await self._models.renew(self._is_served)
        await self._encoders[self._models.in_turn().name].encode([("prompt", "canary")])

    async def _is_served(self, card: Manifest) -> bool:
        # Loading the graphs is unet_svc's task; this only waits for them.
        if not await self._triton.is_ready(graphs.text_encoder(card.name)):
            return False
        self._encoders[card.name] = await asyncio.to_thread(TextEncoder, card, self._repository, self._triton)
        return True
