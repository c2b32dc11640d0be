"""The native dialect's line in the table of dialects."""

from gateway.dialects.common.entry import Entry
from gateway.dialects.native.dialect import Native
from gateway.dialects.native.webhooks import NAME, VOICE

ENTRY = Entry(
    name=NAME,
    title="ControlMesh",
    about="Pictures from words, steered by pictures.",
    make=Native,
    voice=VOICE,
)
