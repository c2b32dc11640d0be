"""The fields of the Scenario dialect's bodies, one table per route.

Source: the vendor's guide to ControlNet, its reference and its SDKs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from families.limits import FRACTION, GUIDANCE, SEED, SIDE, STEPS, STRENGTH, Range
from gateway.dialects.common.declared import Decides, Field, NoEffect, Refused, Table, Type, sets
from gateway.dialects.scenario.routes import CUSTOM, DETECT, ROUTES, Route
from gateway.files.uploads import MOST_PARTS
from gateway.webhooks.announcement import ALL_EVENTS
from mesh.containers import MAX_BYTES

SIZE = 512
STEPS_DEFAULT = 30
STRENGTH_DEFAULT = 0.75
GUIDANCE_TAKEN = Range(0, GUIDANCE.maximum)
"""Values below 1 mean the same as 1: no guidance."""
SAMPLES_TAKEN = Range(1, 128)
"""The most that a client may request; it gets fewer."""
MOST_ASSETS = Range(1, 200)
MOST_DELETED = Range(1, 100)
MOST_MODELS = Range(1, 200)
KNOWN_EVENTS = (
    ALL_EVENTS,
    *(f"asset.download.{end}" for end in ("created", "completed", "failed")),
    *(f"generation.{end}" for end in ("created", "completed", "failed")),
    *(f"inference.{end}" for end in ("created", "completed", "failed", "cancelled")),
    *(f"model.download.{end}" for end in ("created", "completed", "failed")),
    *(f"model.training.{end}" for end in ("started", "completed", "failed", "cancelled")),
    "team.credit.threshold.crossed",
)
CONTROL_PICTURES = ("controlImage", "controlImageId")
PICTURES = ("image", "imageId", "imageUrl")
MASKS = ("mask", "maskId")
"""Alternative names of each picture; the first one that was sent counts."""
THRESHOLDS = (
    "lowThreshold",
    "highThreshold",
    "minThreshold",
    "maxThreshold",
    "keypointThreshold",
    "lengthThreshold",
    "spliceThreshold",
    "factor",
)


def no_use(name: str) -> str:
    """The remark for a picture that the route does not use."""
    return f"{name} was not used: this route does not use it."


def elsewhere(name: str) -> str:
    """The refusal of an upload that names a file by URL or path, in this field."""
    return f'uploads by "{name}" are not enabled on this server; send the file in parts'


def _absent(name: str, type: Type, remark: str) -> Field:
    return Field(name, type, NoEffect(remark))


ABSENT: tuple[Field, ...] = (
    _absent("concepts", Type.ANY, "concepts were not applied: LoRAs are not available."),
    _absent("loras", Type.ANY, "loras were not applied: LoRAs are not available."),
    _absent("baseModelId", Type.ANY, "baseModelId was not applied: the model's own base was used."),
    _absent("modelEpoch", Type.ANY, "modelEpoch was not applied: models have only one epoch here."),
    _absent("intermediateImages", Type.ANY, "intermediateImages are not available."),
    _absent("ipAdapterImages", Type.ANY, "ipAdapterImages were not applied: IP adapters are not available."),
    _absent("ipAdapterImageIds", Type.ANY, "ipAdapterImageIds were not applied: IP adapters are not available."),
    _absent(
        "negativePromptStrength",
        Type.ANY,
        "negativePromptStrength was not applied: guidance determines the strength of negativePrompt.",
    ),
)
"""Fields of requests for pictures that request unavailable features."""

# Sent by clients of the vendor's with every request, whatever they ask for.
_SENT_ALONG = tuple(Field(name, Type.ANY, NoEffect()) for name in ("type", "dryRun", "lorasScale"))
_HIDDEN = Field("hideResults", Type.FLAG, Decides("whether lists can leave the job out"), default=False)
_MODEL = Field("modelId", Type.TEXT, sets("model"), required=True)
_COMMON = (
    Field("prompt", Type.TEXT, sets("prompt"), required=True),
    Field("negativePrompt", Type.TEXT, sets("negative_prompt"), default=""),
    Field("width", Type.WHOLE, sets("width"), limits=SIDE, default=SIZE),
    Field("height", Type.WHOLE, sets("height"), limits=SIDE, default=SIZE),
    Field("numInferenceSteps", Type.WHOLE, sets("steps"), limits=STEPS, default=STEPS_DEFAULT),
    Field("guidance", Type.NUMBER, sets("guidance_scale"), limits=GUIDANCE_TAKEN, note="the family's own"),
    Field("scheduler", Type.TEXT, sets("scheduler"), note="EulerAncestralDiscrete, or the model's own"),
    Field("seed", Type.WHOLE, sets("seed"), limits=SEED, note="a random one; so do -1 and empty text"),
    Field("numSamples", Type.WHOLE, sets("samples"), limits=SAMPLES_TAKEN, default=1),
    _HIDDEN,
    *_SENT_ALONG,
    *ABSENT,
)
_MODALITY = Field("modality", Type.TEXT, sets("controls.kind", "controls.weight"), required=True)
_STEERING = (
    Field("disableModalityDetection", Type.FLAG, sets("controls.auto_hint"), default=False),
    Field("controlStart", Type.NUMBER, sets("controls.start"), limits=FRACTION, default=0.0),
    Field("controlEnd", Type.NUMBER, sets("controls.end"), limits=FRACTION, note="1, or the family's own"),
)
_NEWER = (
    Field("controlModality", Type.TEXT, _MODALITY.effect, required=True, note="with a controlImage"),
    # Accepted as on the older routes.
    replace(_MODALITY, required=False, note="where there is no controlModality"),
    Field("controlStrength", Type.NUMBER, sets("controls.weight"), limits=FRACTION, default=1.0),
)
_CHANGE = Field("strength", Type.NUMBER, sets("strength"), limits=STRENGTH, default=STRENGTH_DEFAULT)
_MERGING = Field("disableMerging", Type.FLAG, sets("keep_unmasked"), default=False)


def _pictures(names: tuple[str, ...], *canonical: str, used: bool, required: bool) -> Iterable[Field]:
    for name in names:
        effect = sets(*canonical) if used else NoEffect(no_use(name))
        note = f"or one of {', '.join(other for other in names if other != name)}" if required else ""
        yield Field(name, Type.PICTURE, effect, required=required, note=note)


def _of_route(route: Route) -> Table:
    # A client of the vendor's sends the control's picture as `image` if there is no other picture.
    image = ("image",) if route.starts else ("controls.image",)
    return Table(
        _MODEL,
        *_COMMON,
        *((_MODALITY, *_STEERING) if route.controlled else ()),
        *_pictures(CONTROL_PICTURES, "controls", "controls.image", used=route.controlled, required=route.controlled),
        *_pictures(PICTURES, *image, used=route.starts or route.controlled, required=route.starts),
        *_pictures(MASKS, "mask", "controls.mask", used=route.masked, required=route.masked),
        _CHANGE if route.starts else replace(_CHANGE, effect=NoEffect()),
        _MERGING if route.masked else replace(_MERGING, effect=NoEffect()),
    )


_ACTION = Field("action", Type.TEXT, Decides("what becomes of it"), required=True)
_ASSET_IDS = Field("assetIds", Type.WORDS, Decides("which assets are meant"), limits=MOST_ASSETS, required=True)
_URL = Field("url", Type.TEXT, sets("url"), required=True)
_EVENTS = Field("enabledEvents", Type.WORDS, sets("events"), limits=Range(1, len(KNOWN_EVENTS)), required=True)
_DESCRIPTION = Field("description", Type.TEXT, sets("description"))
_ENDPOINT = (_URL, _EVENTS, _DESCRIPTION)
ELSEWHERE = ("url", "civitaiModelUrl", "huggingFaceModelName")
"""Fields of uploads that refer to a file for the server to fetch."""
STEMS = ("/teams/{team_id}/webhook-endpoints", "/projects/{project_id}/webhook-endpoints")
"""Alternative paths of the list of webhook endpoints, all equivalent here."""

FIELDS: Mapping[tuple[str, str], Table] = {
    **{("POST", f"/generate/{route.name}"): _of_route(route) for route in ROUTES.values()},
    ("POST", f"/generate/{CUSTOM}/{{model_id}}"): Table(
        *_COMMON,
        *_NEWER,
        *_STEERING,
        *_pictures(CONTROL_PICTURES, "controls", "controls.image", used=True, required=False),
        *_pictures(PICTURES, "image", used=True, required=False),
        *_pictures(MASKS, "mask", "controls.mask", used=True, required=False),
        _CHANGE,
        _MERGING,
    ),
    ("POST", f"/generate/{DETECT}"): Table(
        Field("modality", Type.TEXT, sets("controls.kind"), required=True),
        *_pictures(PICTURES, "controls.image", used=True, required=True),
        *(
            Field(name, Type.NUMBER, sets("controls.parameters"), note="limits and default depend on the detector")
            for name in THRESHOLDS
        ),
        Field("removeBackground", Type.FLAG, NoEffect("removeBackground is not available."), default=False),
        _HIDDEN,
    ),
    ("POST", "/jobs/{id}/action"): Table(_ACTION),
    ("POST", "/assets"): Table(
        Field("name", Type.TEXT, sets("name"), required=True),
        Field("image", Type.PICTURE, sets("image"), required=True),
    ),
    ("DELETE", "/assets"): Table(replace(_ASSET_IDS, limits=MOST_DELETED)),
    ("POST", "/assets/get-bulk"): Table(_ASSET_IDS),
    ("POST", "/uploads"): Table(
        Field("kind", Type.TEXT, Decides("whether it is accepted: image or asset"), required=True),
        Field("fileName", Type.TEXT, sets("file_name"), required=True),
        Field("fileSize", Type.WHOLE, sets("size"), limits=Range(1, MAX_BYTES), default=0),
        Field("parts", Type.WHOLE, sets("parts"), limits=Range(1, MOST_PARTS), default=1),
        Field("contentType", Type.TEXT, sets("content_type"), required=True),
        *(Field(name, Type.TEXT, Refused(elsewhere(name))) for name in ELSEWHERE),
    ),
    ("POST", "/uploads/{id}/action"): Table(_ACTION),
    ("POST", "/models/get-bulk"): Table(
        Field("modelIds", Type.WORDS, Decides("which models are meant"), limits=MOST_MODELS, required=True),
        Field("minimal", Type.FLAG, Decides("whether names and types suffice"), default=False),
    ),
    **{("POST", stem): Table(*_ENDPOINT) for stem in STEMS},
    **{
        ("PUT", f"{stem}/{{id}}"): Table(
            *(replace(field, required=False) for field in _ENDPOINT),
            Field("enabled", Type.FLAG, sets("enabled"), note="as it is"),
        )
        for stem in STEMS
    },
}
"""Method and path after the version -> fields of the body."""
