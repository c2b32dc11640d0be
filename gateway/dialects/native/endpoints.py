"""Webhook endpoints in the native API, and the secret that signs the webhooks of requests."""

from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.bootstrap import Gateway
from gateway.dialects.common.request import json_of, owner_of
from gateway.dialects.native.body import given, refuse_unknown, respond
from gateway.dialects.native.docs.requests import WebhookEndpointBody, WebhookEndpointChange
from gateway.dialects.native.webhooks import NAME
from gateway.generation.checks import flag
from gateway.webhooks.announcement import ALL_EVENTS
from gateway.webhooks.endpoint_records import Endpoint
from mesh.errors import InvalidInput

# Secrets must not be cached on the way.
_SECRET = {"Cache-Control": "no-store"}


class NativeEndpoints:
    """The webhook routes of the native dialect. Like generations, endpoints of all dialects are listed.

    Args:
        gateway: its parts.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def create(self, request: Request) -> Response:
        """Create an endpoint: a URL that is notified of all your generations. Only this answer has its secret."""
        owner, sent = self._owner(request), await self._sent(request, WebhookEndpointBody.model_fields)
        if "url" not in sent:
            raise InvalidInput("url is missing; send the http or https URL to notify", field="url")
        events, description = sent.get("events", [ALL_EVENTS]), sent.get("description", "")
        self._check_events(NAME, events)
        made = await self._gateway.webhooks.endpoints.create(owner, sent["url"], events, description, dialect=NAME)
        place = {"Location": f"{request.url.path}/{made.id}"}
        return respond({**_record(made), "secret": made.secret}, 201, {**place, **_SECRET})

    async def list(self, request: Request) -> Response:
        """Your webhook endpoints, oldest first, from all APIs."""
        known = await self._gateway.webhooks.endpoints.list(self._owner(request))
        return respond({"webhook_endpoints": [_record(one) for one in known]})

    async def show(self, request: Request) -> Response:
        """One of your webhook endpoints, without its secret."""
        id, owner = request.path_params["id"], self._owner(request)
        return respond(_record(await self._gateway.webhooks.endpoints.get(id, owner)))

    async def change(self, request: Request) -> Response:
        """Change the fields that are sent. An endpoint that is enabled again gets events from then on."""
        owner, id = self._owner(request), request.path_params["id"]
        sent = await self._sent(request, WebhookEndpointChange.model_fields)
        known = await self._gateway.webhooks.endpoints.get(id, owner)
        if "enabled" in sent:
            flag("enabled", sent["enabled"])
        if "events" in sent:
            self._check_events(known.dialect, sent["events"])
        return respond(_record(await self._gateway.webhooks.endpoints.update(id, owner, **sent)))

    async def drop(self, request: Request) -> Response:
        """Delete one of your webhook endpoints."""
        await self._gateway.webhooks.endpoints.delete(request.path_params["id"], self._owner(request))
        return Response(status_code=204)

    async def secret(self, request: Request) -> Response:
        """The secret that signs the webhooks of your requests. All keys of an owner share it; it never changes."""
        secret = await self._gateway.webhooks.secret_of(self._owner(request))
        return respond({"secret": secret}, headers=_SECRET)

    def _owner(self, request: Request) -> str:
        return owner_of(self._gateway, request)

    async def _sent(self, request: Request, known: Collection[str]) -> dict[str, Any]:
        body: Mapping[str, Any] = await json_of(self._gateway, request)
        refuse_unknown(body, known)
        return given(body)

    def _check_events(self, dialect: str, events: object) -> None:
        """Refuse unknown event names; a value that is not a list is refused later."""
        known = (ALL_EVENTS, *self._gateway.webhooks.events[dialect])
        for name in events if isinstance(events, list) else ():
            if name not in known:
                raise InvalidInput(
                    f"events has the unknown name {str(name)[:80]!r}; known: {', '.join(known)}", field="events"
                )


def _record(known: Endpoint) -> dict[str, Any]:
    return {
        "id": known.id,
        "dialect": known.dialect,
        "url": known.url,
        "events": list(known.events),
        "description": known.description,
        "enabled": known.enabled,
        "disabled_because": known.disabled_because,
        "failed_attempts": known.failed_calls,
        "attempts": known.total_calls,
        "delivered_at": known.delivered_at,
        "created_at": known.created_at,
        "updated_at": known.updated_at,
    }
