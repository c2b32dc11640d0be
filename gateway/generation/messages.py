"""Messages to the services, built from the canonical request: fields of equal names correspond."""

from typing import Any, TypeVar

from google.protobuf.message import Message

from controlmesh.v1 import preprocess_pb2, types_pb2, unet_pb2, vae_pb2
from families.limits import DEFAULT_GUIDANCE
from gateway.generation.declared import pictures_of
from gateway.generation.generation import FORMATS, Control, Generation
from mesh.containers import upright_size

Filled = TypeVar("Filled", bound=Message)


def prepare(generation: Generation) -> preprocess_pb2.PrepareRequest:
    """The text, controls and mask, at the requested size or that of the initial picture."""
    picture_width, picture_height = 0, 0
    if generation.image is not None:
        picture_width, picture_height = upright_size(generation.image)
    return _filled(
        preprocess_pb2.PrepareRequest,
        generation,
        guidance=(generation.guidance_scale or DEFAULT_GUIDANCE) > 1,
        true_guidance=(generation.true_guidance_scale or 1) > 1,
        controls=[_control(control, generation.picture_of(control)) for control in generation.controls],
        picture_width=picture_width,
        picture_height=picture_height,
    )


def extract(control: Control, size: object) -> preprocess_pb2.ExtractHintRequest:
    """A control's hint, with the `width`, `height` or `short_side` of `size`, or in its picture's proportions."""
    return _filled(preprocess_pb2.ExtractHintRequest, size, control=_control(control, control.image))


def encode(
    generation: Generation, width: int, height: int, mask: types_pb2.Tensor | None = None
) -> vae_pb2.EncodeRequest:
    """The initial picture, to be encoded at `width` x `height` pixels; without what `mask` marks, if it is given."""
    # Not by equal names: a seed would sample the posterior here, which is unet_svc's task.
    return vae_pb2.EncodeRequest(
        model=generation.model or "", image=_image(generation.image), width=width, height=height, mask=mask
    )


def denoise(
    generation: Generation,
    conditioning: types_pb2.Conditioning,
    initial: types_pb2.Posterior | None,
    seed: int,
    masked: types_pb2.Posterior | None = None,
    owner: str = "",
) -> unet_pb2.DenoiseRequest:
    """The denoising loop of one of the owner's pictures, from `initial` or, without it, from noise; `masked` is what
    the mask leaves of the initial picture, for models that read it."""
    given = {"conditioning": conditioning, "initial": initial, "seed": seed, "masked": masked, "owner": owner}
    return _filled(unet_pb2.DenoiseRequest, generation, **given)


def decode(
    generation: Generation, conditioning: types_pb2.Conditioning, latents: types_pb2.Latents
) -> vae_pb2.DecodeRequest:
    """One picture's latents, to be decoded to a file; with the initial picture and mask for `keep_unmasked`."""
    merged = {"original": _image(generation.image), "mask": conditioning.mask} if generation.keep_unmasked else {}
    return vae_pb2.DecodeRequest(latents=latents, format=FORMATS[generation.format], **merged)  # type: ignore[arg-type]


def _control(control: Control, picture: bytes | None) -> types_pb2.Control:
    return _filled(types_pb2.Control, control, image=_image(picture))


def _filled(kind: type[Filled], source: object, **given: Any) -> Filled:
    """A message of `kind`: fields from `given`, others from the attributes of `source` of equal names, if not None."""
    pictures = pictures_of(source)
    for name in set(kind.DESCRIPTOR.fields_by_name) - given.keys():
        value = getattr(source, name, None)
        given[name] = _image(value) if name in pictures else value
    return kind(**{name: value for name, value in given.items() if value is not None})


def _image(content: bytes | None) -> types_pb2.Image | None:
    return None if content is None else types_pb2.Image(content=content)
