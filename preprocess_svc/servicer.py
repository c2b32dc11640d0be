"""PreprocessService: decode, call, encode."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import Histogram

from controlmesh.v1 import preprocess_pb2, preprocess_pb2_grpc, types_pb2
from families.limits import DEFAULT_END, DEFAULT_WEIGHT, MOST_CONTROLS, PROMPT_CHARACTERS, SIDE
from families.loaded import LoadedModels
from families.manifest import Manifest
from mesh.admission import Admission
from mesh.errors import InvalidInput, NotFound
from mesh.pictures import Pixels, encode, upright_size
from mesh.tensors import to_message
from mesh.triton import Triton
from preprocess_svc.controls import CONTROLS
from preprocess_svc.hints import find_control, make_hint
from preprocess_svc.masks import fit_mask
from preprocess_svc.sizes import fitted_size, picture_size, target_size
from preprocess_svc.styles import StyleBook
from preprocess_svc.text import TextEncoder

HINT_SECONDS = Histogram("cn_hint_duration_seconds", "Time to make one hint.", ["kind"])
_DEFAULT_SHORT_SIDE = 512


class PreprocessServicer(preprocess_pb2_grpc.PreprocessServiceServicer):
    """Makes conditioning.

    Args:
        models: the loaded models.
        repository: folder of their cards.
        triton: client of the model server.
        admission: bound on requests at once.
        styles: the words that prompts can be enhanced with.
    """

    def __init__(
        self, models: list[Manifest], repository: Path, triton: Triton, admission: Admission, styles: StyleBook
    ) -> None:
        self._models = LoadedModels(models)
        self._encoders = {model.name: TextEncoder(model, repository, triton) for model in models}
        self._admission = admission
        self._styles = styles
        self._canaries = itertools.cycle(list(self._encoders.values()))

    async def Prepare(self, request: preprocess_pb2.PrepareRequest, context: Any) -> preprocess_pb2.PrepareResponse:
        """Words and hints of one request; see the .proto."""
        model = self._models.find(request.model)
        _check_prompts(request)
        _check_controls(request, model)
        picture = picture_size(request.picture_width, request.picture_height)
        async with self._admission:
            if request.controls:
                first = upright_size(request.controls[0].image.content, field="controls[0].image")
                picture = picture or first
            size = target_size(request.width, request.height, picture, model)
            mask = await asyncio.to_thread(fit_mask, request.mask.content, size) if request.HasField("mask") else None
            words = self._styles.enhance(
                request.prompt, request.negative_prompt, request.enhance_prompt, request.enhance_style
            )
            prompts = [("prompt", words.prompt)]
            if request.guidance:
                prompts.insert(0, ("negative_prompt", words.negative_prompt))
            weighting = request.prompt_weighting if request.HasField("prompt_weighting") else True
            (text, notes), hints = await asyncio.gather(
                self._encoders[model.name].encode(prompts, request.clip_skip, weighting),
                asyncio.gather(
                    *(self._hint(control, size, f"controls[{i}]", mask) for i, control in enumerate(request.controls))
                ),
            )
        return preprocess_pb2.PrepareResponse(
            conditioning=types_pb2.Conditioning(
                model=model.name,
                text=to_message(text),
                hints=hints,
                width=size[0],
                height=size[1],
                mask=None if mask is None else to_message(mask),
            ),
            notes=[*words.notes, *notes],
            prompt=words.prompt,
            negative_prompt=words.negative_prompt,
        )

    async def _hint(
        self, control: types_pb2.Control, size: tuple[int, int], at: str, mask: Pixels | None
    ) -> types_pb2.Hint:
        pixels = await _pixels(control, size, at, mask)
        return types_pb2.Hint(
            kind=control.kind,
            pixels=to_message(pixels.transpose(2, 0, 1)),
            weight=control.weight if control.HasField("weight") else DEFAULT_WEIGHT,
            start=control.start,
            end=control.end if control.HasField("end") else DEFAULT_END,
        )

    async def ExtractHint(
        self, request: preprocess_pb2.ExtractHintRequest, context: Any
    ) -> preprocess_pb2.ExtractHintResponse:
        """One hint as a picture; see the .proto."""
        control = request.control
        find_control(control.kind, "control.kind")
        async with self._admission:
            picture = upright_size(control.image.content, field="control.image")
            short_side = request.short_side or _DEFAULT_SHORT_SIDE
            for field, side in (("width", request.width), ("height", request.height), ("short_side", short_side)):
                if side and not SIDE.holds(side):
                    raise InvalidInput(f"{field} must be {SIDE}, not {side}", field=field)
            if bool(request.width) != bool(request.height):
                raise InvalidInput("give both width and height, or neither", field="width")
            size = (request.width, request.height)
            if not request.width:
                size = fitted_size(picture, short_side)
            pixels = await _pixels(control, size, "control")
            # A mask is the fourth channel; what it marks is black in the others.
            content = await asyncio.to_thread(encode, np.ascontiguousarray(pixels[..., :3]))
        image = types_pb2.Image(
            content=content, format=types_pb2.IMAGE_FORMAT_PNG, width=pixels.shape[1], height=pixels.shape[0]
        )
        return preprocess_pb2.ExtractHintResponse(hint=image)

    async def ListControls(
        self, request: preprocess_pb2.ListControlsRequest, context: Any
    ) -> preprocess_pb2.ListControlsResponse:
        """The table of controls, and which models have a ControlNet for each."""
        return preprocess_pb2.ListControlsResponse(
            controls=[
                preprocess_pb2.ControlKind(
                    kind=control.kind,
                    description=control.description,
                    extractable=control.extract is not None,
                    reads_mask=control.reads_mask,
                    parameters=[
                        preprocess_pb2.ControlParameter(
                            name=parameter.name,
                            description=parameter.description,
                            minimum=parameter.minimum,
                            maximum=parameter.maximum,
                            default_value=parameter.default,
                        )
                        for parameter in control.parameters
                    ],
                    models=[model.name for model in self._models.values() if control.kind in model.controls],
                )
                for control in CONTROLS.values()
            ]
        )

    async def ListStyles(
        self, request: preprocess_pb2.ListStylesRequest, context: Any
    ) -> preprocess_pb2.ListStylesResponse:
        """The styles by name; see the .proto."""
        return preprocess_pb2.ListStylesResponse(
            styles=[
                preprocess_pb2.Style(name=name, prompt=style.prompt, negative_prompt=style.negative_prompt)
                for name, style in sorted(self._styles.styles.items())
            ]
        )

    async def probe(self) -> None:
        """Raise MeshError while words can't be encoded; every call tries the next model."""
        if not self._encoders:
            raise NotFound("no model is exported yet; run `make models`")
        await next(self._canaries).encode([("prompt", "canary")])


async def _pixels(
    control: types_pb2.Control, size: tuple[int, int], at: str, shared_mask: Pixels | None = None
) -> Pixels:
    """The control's hint UINT8 [height, width, 3 or 4]; errors name fields under `at`."""
    with HINT_SECONDS.labels(control.kind).time():
        return await asyncio.to_thread(
            make_hint,
            control.kind,
            control.image.content,
            control.auto_hint if control.HasField("auto_hint") else True,
            dict(control.parameters),
            size,
            at,
            mask=control.mask.content if control.HasField("mask") else None,
            shared_mask=shared_mask,
        )


def _check_prompts(request: preprocess_pb2.PrepareRequest) -> None:
    for field, text in (("prompt", request.prompt), ("negative_prompt", request.negative_prompt)):
        if len(text) > PROMPT_CHARACTERS:
            raise InvalidInput(
                f"{field} has {len(text)} characters; at most {PROMPT_CHARACTERS} are taken", field=field
            )


def _check_controls(request: preprocess_pb2.PrepareRequest, model: Manifest) -> None:
    if len(request.controls) > MOST_CONTROLS:
        raise InvalidInput(f"at most {MOST_CONTROLS} controls are taken, not {len(request.controls)}", field="controls")
    for index, control in enumerate(request.controls):
        at = f"controls[{index}].kind"
        find_control(control.kind, at)
        if control.kind not in model.controls:
            known = ", ".join(model.controls) or "none"
            raise InvalidInput(
                f"model {model.name!r} has no ControlNet for {control.kind!r}; it has: {known}", field=at
            )
