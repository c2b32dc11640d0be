"""How each dialect tells of jobs by webhook: one line a dialect. Those without tell as the native one does."""

from collections.abc import Mapping, Sequence

from gateway.announcement import Announcer, Signer
from gateway.dialects import enterprise_webhooks, native_webhooks, scenario_webhooks
from gateway.loads import LoadAnnouncer

ANNOUNCE: Mapping[str, Announcer] = {
    "native": native_webhooks.announce,
    "enterprise": enterprise_webhooks.announce,
    "scenario": scenario_webhooks.announce,
}

EVENTS: Mapping[str, Sequence[str]] = {
    "native": tuple(native_webhooks.EVENTS.values()),
    "scenario": scenario_webhooks.KNOWN_EVENTS,
}
"""Names of events, of those dialects that endpoints can be set up in."""

ANNOUNCE_LOADS: Mapping[str, LoadAnnouncer] = {
    "enterprise": enterprise_webhooks.announce_load,
}
"""How the dialects in which models can be loaded tell of it."""

SIGN: Mapping[str, Signer] = {
    "enterprise": enterprise_webhooks.sign,
}
"""Headers in which a dialect signs, beside those of Standard Webhooks."""
