"""The native dialect's entry in the table of dialects."""

from gateway.dialects.common.entry import Entry
from gateway.dialects.native.dialect import Native
from gateway.dialects.native.webhooks import NAME, VOICE

ENTRY = Entry(
    name=NAME,
    title="ControlMesh",
    about="Pictures from text, steered by control pictures.",
    make=Native,
    voice=VOICE,
    at="/controlmesh/v1",
    starts=("/controlmesh/",),
)
