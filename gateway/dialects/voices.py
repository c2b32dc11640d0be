"""How each dialect speaks in webhooks: one line a dialect. Those without tell as the native one does."""

from collections.abc import Mapping

from gateway.dialects import enterprise_webhooks, native_webhooks, scenario_webhooks
from gateway.parts import Voice

VOICES: Mapping[str, Voice] = {
    "native": native_webhooks.VOICE,
    "enterprise": enterprise_webhooks.VOICE,
    "scenario": scenario_webhooks.VOICE,
}
