"""Renames fields in the mesh's errors to the Scenario dialect's names."""

from collections.abc import Mapping

from families.limits import MOST_CONTROLS
from gateway.dialects.common.declared import spoken as fields_of
from gateway.dialects.common.wording import note, renamed
from gateway.dialects.scenario.declared import FIELDS, STEMS
from mesh.errors import MeshError

# Field of the canonical request -> the vendor's; the last two are parts of the URL.
NAMES: Mapping[str, str] = {
    **fields_of(
        [
            field
            for asked in (("POST", "/uploads"), ("POST", STEMS[0]), ("POST", "/generate/controlnet-inpaint"))
            for field in FIELDS[asked].values()
        ]
    ),
    "after": "paginationToken",
    "id": "jobId",
}


def noted(text: str, steering: str) -> str:
    """A service's note with the client's names."""
    return note(text, {**NAMES, **{f"controls[{index}]": steering for index in range(MOST_CONTROLS)}})


def spoken(error: MeshError, steering: str = "controlImage") -> MeshError:
    """`error` with the client's name of its field; `steering` is the field with the control's picture."""
    pictures = {f"controls[{index}].image": steering for index in range(MOST_CONTROLS)}
    return renamed(error, {**NAMES, **pictures})
