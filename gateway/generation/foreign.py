"""Other programs' words for what the canonical request has: names of fields, kinds of control and schedulers.

They are not taken; messages suggest what they mean. The vendors' own words stand in their dialects, and are found by
the words that they have in common with ours.

Sources: AUTOMATIC1111's API and its menu of samplers, ComfyUI's nodes, diffusers' pipelines, the image APIs of OpenAI,
Stability AI and Replicate.
"""

from collections.abc import Iterable, Mapping

from mesh.suggestions import closest, listed, plain

_FIELDS: Mapping[str, str] = {
    "steps": "num steps, n steps, sampling steps, sample steps, iterations",
    "guidance_scale": "cfg, cfg scale, guidance, scale, guidance strength",
    "scheduler": "sampler, sampler name, sampler index, sampling method, scheduler name",
    "samples": "n, n iter, batch size, num images, num outputs, images, num images per prompt, number of images",
    "negative_prompt": "negative, uncond, anti prompt",
    "image": "init images, input image, image url, source image, start image, reference image",
    "mask": "mask image, inpaint mask, mask url, image mask",
    "controls": "control, controlnet, controlnets, controlnet units, alwayson scripts, control image, controlnet type",
    "strength": "denoise, denoising strength, image strength, prompt strength",
    "model": "checkpoint, sd model checkpoint, model id, model name, engine, ckpt name, override settings",
    "kind": "type, module, preprocessor, control type, control mode, modality",
    "weight": "conditioning scale, control weight, control strength, scale",
    "start": "guidance start, start percent, control start, start step",
    "end": "guidance end, end percent, control end, end step",
    "parameters": "params, options, settings",
    "format": "output format, response format, image format, mime type",
    "seed": "random seed, noise seed, manual seed, subseed",
    "clip_skip": "clip stop at last layers, clipskip",
    "width": "w, size, resolution, image size",
    "height": "h, size, resolution, image size",
    "use_karras_sigmas": "karras",
    "enhance_style": "style, styles, style preset",
}
_KINDS: Mapping[str, str] = {
    "openpose": "pose, body pose, openpose full, dw openpose, dwpose, pose estimation",
    "mlsd": "hough, though, lines, straight lines",
    "canny": "edge, edges, canny edge, edge detection",
    "segmentation": "seg, segment, segments, ufade20k, ofade20k",
    "normal": "normal map, normalbae, normal bae, normals",
    "softedge": "soft edge, pidinet, hedsafe, soft edges",
    "hed": "hed edge, holistic",
    "scribble": "sketch, scribbles, drawing, doodle",
    "depth": "midas, depth map, zoe, depth anything, depth midas",
    "lineart": "line art, line",
    "inpaint": "inpainting, inpaint only",
    "tile": "tile resample, upscale",
    "qrcode": "qr, qr code, qr monster",
    "shuffle": "content shuffle",
    "gray": "grey, grayscale, greyscale, recolor",
    "blur": "blurred",
    "illusion": "pattern",
    "face": "face detector, mediapipe face, openface",
    "low_quality": "lq, low quality image",
    "lineart_anime": "anime lineart, line art anime",
}
_SCHEDULERS: Mapping[str, str] = {
    "EulerAncestralDiscreteScheduler": "euler a, euler ancestral, k euler a, k euler ancestral, eulera",
    "EulerDiscreteScheduler": "euler, k euler",
    "HeunDiscreteScheduler": "heun, k heun",
    "LMSDiscreteScheduler": "lms, lms karras, k lms, klms",
    "DPMSolverMultistepScheduler": "dpm 2m, dpm 2m karras, dpmpp 2m, k dpmpp 2m, dpm solver, dpm multi, dpmsolver",
    "DPMSolverSinglestepScheduler": "dpm 2s a, dpmpp 2s ancestral, dpm single, dpm 2s a karras",
    "DPMSolverSDEScheduler": "dpm sde, dpm sde karras, dpmpp sde",
    "KDPM2DiscreteScheduler": "dpm2, dpm 2, k dpm 2, dpm2 karras",
    "KDPM2AncestralDiscreteScheduler": "dpm2 a, dpm 2 ancestral, k dpm 2 a, dpm2 a karras",
    "PNDMScheduler": "plms, pndm",
    "UniPCMultistepScheduler": "unipc, uni pc",
    "DDIMScheduler": "ddim",
    "DDPMScheduler": "ddpm",
    "LCMScheduler": "lcm",
}


KINDS = frozenset(_KINDS)
"""Kinds of control that exist, whether they are available or not."""


def _by_word(table: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, words in table.items():
        for word in words.split(", "):
            found[word] = (*found.get(word, ()), name)
    return found


_TABLES = {"field": _by_word(_FIELDS), "kind": _by_word(_KINDS), "scheduler": _by_word(_SCHEDULERS)}


def meanings(what: str, known: Iterable[str]) -> dict[str, str]:
    """Other programs' words for those of `known`.

    Args:
        what: "field", "kind" or "scheduler"; there are none for other things.
        known: the names that exist.
    """
    names = set(known)
    table = _TABLES.get(what, {})
    return {word: name for word, means in table.items() for name in means if name in names}


def meant(what: str, sent: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `sent` most likely means, by its letters or in another program's words; None for none."""
    names = list(known)
    return closest(sent, names, meanings(what, names))


def is_elsewhere(what: str, sent: str, known: Iterable[str]) -> bool:
    """Whether `sent` is another program's word for something that is not among `known`."""
    means = _TABLES.get(what, {}).get(plain(sent), ())
    return bool(means) and not set(means) & set(known)


def choices(what: str, sent: str, known: Iterable[str], label: str = "known") -> str:
    """The end of a message about an unknown name, the likely one first: "; did you mean canny? known: canny, depth"."""
    names = list(known)
    found = meant(what, sent, names)
    question = "" if found is None else f" did you mean {found}?"
    return f";{question} {label}: {listed(names)}"
