"""lineart_anime: strokes as an animator would draw them."""

from preprocess_svc.extraction.control import DETECT_RESOLUTION, ControlType, Learned
from preprocess_svc.extraction.maps import drawn
from preprocess_svc.extraction.paper import drawing
from preprocess_svc.extraction.ready import Ready

LINEART_ANIME = ControlType(
    kind="lineart_anime",
    description="White strokes on black, as drawn for animation.",
    extractors=(
        Learned(
            name="model",
            description="Strokes by the annotator, inverted to white on black.",
            source="Li et al. 2020 (Anime2Sketch); controlnet_aux's LineartAnimeDetector",
            parameters=(DETECT_RESOLUTION,),
            heads=("lineart_anime",),
            annotate=drawn("lineart_anime", drawing("lineart_anime")),
            how_to_get="python -m export annotator lineart_anime lllyasviel/Annotators:netG.pth",
        ),
    ),
    ready=Ready(grey=True, light_on_dark=True),
    controlnets={
        "sd15": ("lllyasviel/control_v11p_sd15s2_lineart_anime",),
        "sdxl": ("xinsir/controlnet-union-sdxl-1.0",),
    },
)
