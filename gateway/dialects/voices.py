"""How each dialect speaks in webhooks: one line a dialect. Those without tell as the native one does."""

from collections.abc import Mapping

from gateway.bootstrap import Voice
from gateway.dialects.enterprise import webhooks as enterprise_webhooks
from gateway.dialects.native import webhooks as native_webhooks
from gateway.dialects.scenario import webhooks as scenario_webhooks

VOICES: Mapping[str, Voice] = {
    "native": native_webhooks.VOICE,
    "enterprise": enterprise_webhooks.VOICE,
    "scenario": scenario_webhooks.VOICE,
}
