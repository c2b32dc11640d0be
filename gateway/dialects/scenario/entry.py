"""The Scenario dialect's entry in the table of dialects."""

from gateway.dialects.common.entry import Entry
from gateway.dialects.scenario.dialect import Scenario
from gateway.dialects.scenario.job_view import NAME
from gateway.dialects.scenario.webhooks import VOICE

ENTRY = Entry(
    name=NAME,
    title="ControlMesh as the Scenario API",
    about="A drop-in replacement for Scenario's generation API.",
    make=Scenario,
    words=frozenset(
        {
            "modelId",
            "negativePrompt",
            "numInferenceSteps",
            "numSamples",
            "controlImage",
            "controlImageId",
            "controlModality",
            "disableModalityDetection",
            "creativeUnitsCost",
            "projectId",
            "assetIds",
            "paginationToken",
            "enabledEvents",
        }
    ),
    voice=VOICE,
    at="/v1",
    starts=("/v1/",),
    paths=frozenset({"/v1"}),
)
