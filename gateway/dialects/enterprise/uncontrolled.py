"""Parses the enterprise dialect's requests without controls: text to image, image to image, inpainting."""

from collections.abc import Mapping

from gateway.dialects.common.lenient import Lenient
from gateway.dialects.enterprise import request as enterprise_request
from gateway.dialects.enterprise import solver as enterprise_solver
from gateway.dialects.enterprise.fields import missing
from gateway.dialects.enterprise.pictures import Reader
from gateway.dialects.enterprise.request import Circumstances, Reading
from gateway.generation.generation import Generation
from mesh.prompt_tags import is_empty

# Task -> the pictures that it requires.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "text2img": (),
    "img2img": ("init_image",),
    "inpaint": ("init_image", "mask_image"),
}


async def read(fields: Lenient, around: Circumstances, pictures: Reader) -> Reading:
    """The canonical request for `fields`. Deviations from what was sent are added to their remarks.

    Raises:
        InvalidInput: naming the vendor's field.
    """
    task = around.task
    prompt = fields.text("prompt")
    if is_empty(prompt):
        raise missing("prompt")
    sent = {name: fields.picture(name) for name in NEEDS[task]}
    for name, value in sent.items():
        if value is None:
            raise missing(name)
    if task == "img2img" and fields.picture("mask_image") is not None:
        fields.remark("mask_image")
    name = enterprise_request.model(fields, around)
    solver = enterprise_solver.read(fields, around.offer, name, task == "img2img", "img2img's init_image")
    strength = enterprise_request.strength(fields, around)
    common = enterprise_request.common(fields, around, solver, name)
    # Last, because pictures may have to be fetched.
    content = {name: await pictures.read(value, name) for name, value in sent.items()}
    starts = "init_image" in content
    generation = Generation(
        prompt=prompt,
        model=name,
        image=content.get("init_image"),
        mask=content.get("mask_image"),
        # Inverting does not use a default strength.
        strength=strength if starts and (fields.raw("strength") is not None or not solver.inverts) else None,
        **common,
    )
    return Reading(generation, solver)
