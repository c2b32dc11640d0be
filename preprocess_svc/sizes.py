"""The size of the picture to generate when the request does not give it."""

from dataclasses import replace

from families.facts import ModelFacts
from families.limits import SIDE, Range
from families.table import family_of
from mesh.errors import InvalidInput
from mesh.pictures import MAX_PIXELS, MAX_SIDE

# For a 512-px model, sizes derived from a picture are multiples of 64, as in Hugging Face's ControlNet handler.
_PARTS = 8
_LONGEST = 1024


def target_size(
    width: int,
    height: int,
    picture: tuple[int, int] | None,
    facts: ModelFacts,
    default: tuple[int, int] | None = None,
) -> tuple[int, int]:
    """Width and height of the picture to generate, in pixels.

    Args:
        width, height: as requested; 0 if not given.
        picture: (width, height) of the picture whose proportions are used if a side is not given, if there is one.
        facts: of the model.
        default: the size without any other, whose shorter side is that of sizes with a picture's proportions; None:
            the model's native size.

    Raises:
        InvalidInput: a requested side is out of range, or both together.
    """
    family = family_of(facts)
    for field, side in (("width", width), ("height", height)):
        if side and not family.side.holds(side):
            raise InvalidInput(f"{field} must be {family.side}, not {side}", field=field)
    if width and height:
        if wrong := family.check_size(width, height):
            raise InvalidInput(wrong[1], field=wrong[0])
        return width, height
    if width or height:
        ratio, multiple = picture[0] / picture[1] if picture else 1.0, family.side.multiple
        width, height = (
            width or _fit(height * ratio, multiple, family.side),
            height or _fit(width / ratio, multiple, family.side),
        )
        if wrong := family.check_size(width, height):
            raise InvalidInput(wrong[1], field=wrong[0])
        return width, height
    usual = default or (facts.native_size, facts.native_size)
    return usual if picture is None else fitted_size(picture, min(usual), family.side)


def picture_size(width: int, height: int) -> tuple[int, int] | None:
    """Width and height of the initial picture as the request gives them, in pixels; None where both are 0.

    Raises:
        InvalidInput: only one side is given, or the size exceeds what the mesh accepts.
    """
    if not width and not height:
        return None
    for field, side in (("picture_width", width), ("picture_height", height)):
        if not 1 <= side <= MAX_SIDE:
            raise InvalidInput(
                f"{field} must be 1 to {MAX_SIDE}, not {side}; set both to 0 for no picture", field=field
            )
    if width * height > MAX_PIXELS:
        raise InvalidInput(
            f"picture_width times picture_height must be at most {MAX_PIXELS}, not {width * height}",
            field="picture_width",
        )
    return width, height


def fitted_size(picture: tuple[int, int], short_side: int, side: Range | None = None) -> tuple[int, int]:
    """Scale `picture` (width, height) to a shorter side of `short_side`, each side rounded to an eighth of that.

    At 512 this is the rule of the Hugging Face ControlNet handler (`resize_image` of the ControlNet annotators): half
    steps round to the even multiple of 64, the proportions are kept only roughly, and 1000 x 700 gives 704 x 512. The
    handler does not limit the longer side; here it is at most the largest side allowed, so a picture more than twice
    as long as wide is squeezed.

    An eighth is rounded down to a multiple of what sides must be a multiple of, so that every result is valid.
    """
    # A hint that is for no model is at most twice as long as wide, but for small ones.
    side = side or replace(SIDE, maximum=min(max(_LONGEST, 2 * short_side), SIDE.maximum))
    factor = short_side / min(picture)
    multiple = max(side.multiple, short_side // _PARTS // side.multiple * side.multiple)
    return _fit(picture[0] * factor, multiple, side), _fit(picture[1] * factor, multiple, side)


def _fit(pixels: float, multiple: int, side: Range) -> int:
    return int(min(max(round(pixels / multiple) * multiple, side.minimum), side.maximum))
