"""How large the picture becomes when the request does not say."""

from families.limits import SIDE
from families.manifest import ModelFacts
from mesh.errors import InvalidInput
from mesh.pictures import MAX_PIXELS, MAX_SIDE

# Of a 512-px model, sizes derived from a picture are multiples of 64, as Hugging Face's ControlNet handler makes them.
_PARTS = 8


def target_size(width: int, height: int, picture: tuple[int, int] | None, facts: ModelFacts) -> tuple[int, int]:
    """Width and height of the picture to make, in pixels.

    Args:
        width, height: as asked; 0 where the request does not say.
        picture: (width, height) of the picture that decides where the request does not say, if there is one.
        facts: the model, whose native size is the goal for the shorter side.

    Raises:
        InvalidInput: a side that was asked for is out of range.
    """
    for field, side in (("width", width), ("height", height)):
        if side and not SIDE.holds(side):
            raise InvalidInput(f"{field} must be {SIDE}, not {side}", field=field)
    if width and height:
        return width, height
    if width or height:
        ratio = picture[0] / picture[1] if picture else 1.0
        return width or _fit(height * ratio, SIDE.multiple), height or _fit(width / ratio, SIDE.multiple)
    if picture is None:
        return facts.native_size, facts.native_size
    return fitted_size(picture, facts.native_size)


def picture_size(width: int, height: int) -> tuple[int, int] | None:
    """Width and height of the initial picture as the request gives them, in pixels; None where both are 0.

    Raises:
        InvalidInput: one side alone, or a size that no picture has which the mesh takes.
    """
    if not width and not height:
        return None
    for field, side in (("picture_width", width), ("picture_height", height)):
        if not 1 <= side <= MAX_SIDE:
            raise InvalidInput(f"{field} must be 1 to {MAX_SIDE}, not {side}; 0 in both for none", field=field)
    if width * height > MAX_PIXELS:
        raise InvalidInput(
            f"picture_width times picture_height must be at most {MAX_PIXELS}, not {width * height}",
            field="picture_width",
        )
    return width, height


def fitted_size(picture: tuple[int, int], short_side: int) -> tuple[int, int]:
    """`picture` (width, height) scaled to a shorter side of `short_side`, each side rounded to an eighth of that.

    At 512 this is the rule of the Hugging Face ControlNet handler (`resize_image` of the ControlNet annotators): half
    steps go to the even multiple of 64, the proportions are kept only roughly, and 1000 x 700 gives 704 x 512. The
    handler lets the longer side grow without bound; here it ends at the largest that a picture can have, so a picture
    more than twice as long as wide is pressed.

    An eighth that is no multiple of what pictures need is rounded down to one, so that every size can be made.
    """
    factor = short_side / min(picture)
    multiple = max(SIDE.multiple, short_side // _PARTS // SIDE.multiple * SIDE.multiple)
    return _fit(picture[0] * factor, multiple), _fit(picture[1] * factor, multiple)


def _fit(side: float, multiple: int) -> int:
    return int(min(max(round(side / multiple) * multiple, SIDE.minimum), SIDE.maximum))
