"""The Scenario dialect's line in the table of dialects."""

from gateway.dialects.common.entry import Entry
from gateway.dialects.scenario.dialect import Scenario
from gateway.dialects.scenario.job_view import NAME
from gateway.dialects.scenario.webhooks import VOICE

ENTRY = Entry(
    name=NAME,
    title="ControlMesh as the Scenario API",
    about="What Scenario's generation API takes and answers.",
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
)
