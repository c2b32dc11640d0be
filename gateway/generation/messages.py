"""What the services are asked, made of the canonical request."""

from controlmesh.v1 import preprocess_pb2, types_pb2, unet_pb2, vae_pb2
from gateway.generation.generation import FORMATS, Control, Generation
from mesh.pictures import upright_size


def prepare(generation: Generation) -> preprocess_pb2.PrepareRequest:
    """Words, controls and mask, at the size that was asked for or that the initial picture says."""
    picture_width, picture_height = 0, 0
    if generation.image is not None:
        picture_width, picture_height = upright_size(generation.image)
    return preprocess_pb2.PrepareRequest(
        model=generation.model or "",
        prompt=generation.prompt,
        negative_prompt=generation.negative_prompt,
        guidance=generation.guidance_scale > 1,
        controls=[_control(generation, control) for control in generation.controls],
        width=generation.width or 0,
        height=generation.height or 0,
        clip_skip=generation.clip_skip,
        mask=_image(generation.mask),
        prompt_weighting=generation.prompt_weighting,
        enhance_prompt=generation.enhance_prompt,
        enhance_style=generation.enhance_style or "",
        picture_width=picture_width,
        picture_height=picture_height,
    )


def extract(generation: Generation) -> preprocess_pb2.ExtractHintRequest:
    """The first control's hint alone, at the size that was asked for or in the proportions of its picture."""
    return preprocess_pb2.ExtractHintRequest(
        control=_control(generation, generation.controls[0]),
        width=generation.width or 0,
        height=generation.height or 0,
    )


def encode(generation: Generation, width: int, height: int) -> vae_pb2.EncodeRequest:
    """The initial picture, to be fitted to `width` x `height` pixels."""
    return vae_pb2.EncodeRequest(
        model=generation.model or "", image=_image(generation.image), width=width, height=height
    )


def denoise(
    generation: Generation, conditioning: types_pb2.Conditioning, initial: types_pb2.Posterior | None, seed: int
) -> unet_pb2.DenoiseRequest:
    """One picture's loop, from `initial` or, without one, from noise."""
    return unet_pb2.DenoiseRequest(
        conditioning=conditioning,
        scheduler=generation.scheduler or "",
        steps=generation.steps,
        guidance_scale=generation.guidance_scale,
        seed=seed,
        initial=initial,
        strength=generation.strength,
        guess_mode=generation.guess_mode,
        use_karras_sigmas=generation.use_karras_sigmas,
        algorithm_type=generation.algorithm_type or "",
        preview_every=generation.preview_every,
    )


def decode(
    generation: Generation, conditioning: types_pb2.Conditioning, latents: types_pb2.Latents
) -> vae_pb2.DecodeRequest:
    """One picture's latents, to become a file; with what the mask keeps of the initial picture, if that was asked."""
    merged = {"original": _image(generation.image), "mask": conditioning.mask} if generation.keep_unmasked else {}
    return vae_pb2.DecodeRequest(latents=latents, format=FORMATS[generation.format], **merged)  # type: ignore[arg-type]


def _control(generation: Generation, control: Control) -> types_pb2.Control:
    return types_pb2.Control(
        kind=control.kind,
        image=_image(generation.picture_of(control)),
        auto_hint=control.auto_hint,
        weight=control.weight,
        start=control.start,
        end=control.end,
        parameters=control.parameters,
        mask=_image(control.mask),
        extractor=control.extractor or "",
        text=control.text or "",
    )


def _image(content: bytes | None) -> types_pb2.Image | None:
    return None if content is None else types_pb2.Image(content=content)
