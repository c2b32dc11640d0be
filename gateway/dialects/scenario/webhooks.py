"""The Scenario dialect's webhook endpoints, which are notified of all of an owner's jobs, and their messages.

Source: the vendor's SDK for the endpoints and the event names. The body and the signature of messages are not
documented: here the body is the event's name and the job as in a poll, signed with the headers of Standard Webhooks
(`webhook-signature` is HMAC-SHA256). The difference between generations and inferences is not documented either: here
they are the same, announced once, under the name that the endpoint subscribed to, or as a generation if it subscribed
to both. Names of unavailable events, such as trainings, are accepted, and never sent.
"""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.bootstrap import Voice
from gateway.dialects.common.strict import Strict
from gateway.dialects.scenario import answers
from gateway.dialects.scenario.declared import KNOWN_EVENTS, STEMS
from gateway.dialects.scenario.fields import wrong
from gateway.dialects.scenario.job_view import NAME
from gateway.dialects.scenario.resource import Resource, Table
from gateway.jobs.job import Job, Status
from gateway.webhooks.announcement import Announcement, Link
from gateway.webhooks.endpoint_records import Endpoint
from gateway.webhooks.records import Delivery, DeliveryStatus
from mesh.errors import InvalidInput, NotFound

EVENTS = {
    Status.QUEUED: ("generation.created", "inference.created"),
    Status.SUCCEEDED: ("generation.completed", "inference.completed"),
    Status.FAILED: ("generation.failed", "inference.failed"),
    Status.CANCELLED: ("inference.cancelled",),
}
"""Event names by status, the preferred one first."""
_FIELDS = ("url", "enabledEvents", "description")
_EVENTS_LISTED = 50


def announce(job: Job, link: Link) -> Announcement:
    """The announcement of a job that was accepted or has ended."""
    body = answers.polled(job)["job"]

    def named(event: str, *others: str) -> Announcement:
        sent = {"type": event, "createdAt": body["updatedAt"], "payload": {"job": body}}
        return Announcement(event, sent, alias=named(*others) if others else None)

    return named(*EVENTS[job.status])


VOICE = Voice(announce, events=KNOWN_EVENTS)


class ScenarioWebhooks(Resource):
    """Routes of webhook endpoints. Team and project in the path are ignored: the key's owner counts."""

    def table(self) -> Table:
        return tuple(
            (method, f"{stem}{path}", handler)
            for stem in STEMS
            for method, path, handler in (
                ("GET", "", self._list),
                ("POST", "", self._create),
                ("PUT", "/{id}", self._update),
                ("DELETE", "/{id}", self._delete),
                ("GET", "/{id}/events", self._events),
                ("GET", "/{id}/events/{event_id}", self._event),
            )
        )

    async def _list(self, request: Request) -> Response:
        """Your endpoints, without their secrets."""
        known = await self._gateway.webhooks.endpoints.list(self._owner(request))
        return answers.respond({"webhookEndpoints": [_body(request, one) for one in known if one.dialect == NAME]})

    async def _create(self, request: Request) -> Response:
        """Create an endpoint; only this answer has its secret."""
        owner, fields = self._owner(request), await self._fields(request)
        url, events = fields.required("url"), _events(fields)
        if events is None:
            raise InvalidInput('"enabledEvents" must be an array of names of events', field="enabledEvents")
        made = await self._gateway.webhooks.endpoints.create(
            owner, url, events, fields.text("description") or "", dialect=NAME, fields=_FIELDS
        )
        return answers.respond({"webhookEndpoint": {**_body(request, made), "secret": made.secret}})

    async def _update(self, request: Request) -> Response:
        """Change an endpoint."""
        owner, fields = self._owner(request), await self._fields(request)
        known = await self._known(request, owner)
        enabled = None if fields.raw("enabled") is None else fields.flag("enabled")
        changed = await self._gateway.webhooks.endpoints.update(
            known.id,
            owner,
            url=fields.text("url"),
            events=_events(fields),
            description=fields.text("description"),
            enabled=enabled,
            fields=_FIELDS,
        )
        return answers.respond({"webhookEndpoint": _body(request, changed)})

    async def _delete(self, request: Request) -> Response:
        """Delete an endpoint."""
        owner = self._owner(request)
        known = await self._known(request, owner)
        await self._gateway.webhooks.endpoints.delete(known.id, owner)
        return answers.respond({})

    async def _events(self, request: Request) -> Response:
        """The messages to an endpoint, newest first."""
        owner = self._owner(request)
        known = await self._known(request, owner)
        token = request.query_params.get("paginationToken") or None
        sent, token = await self._gateway.webhooks.endpoints.sent(known.id, owner, _EVENTS_LISTED, token)
        more = {"nextPaginationToken": token} if token else {}
        return answers.respond({"items": [_event(known, one) for one in sent]} | more)

    async def _event(self, request: Request) -> Response:
        """A message to an endpoint, with its delivery attempts."""
        owner, asked = self._owner(request), request.path_params["event_id"]
        known = await self._known(request, owner)
        try:
            one = await self._gateway.webhooks.endpoints.delivery(asked, known.id, owner)
        except NotFound:
            raise NotFound(f"Webhook event {asked[:80]} not found") from None
        attempts = [
            # There is no status if the receiver did not answer.
            {"responseStatusCode": int(made.answer) if made.answer.isdigit() else 0, "sentAt": answers.moment(made.at)}
            for made in one.tries
        ]
        created = answers.moment(one.created_at)
        times = {"createdAt": created, "sentAt": attempts[0]["sentAt"] if attempts else created}
        told = {**_event(known, one), "attempts": attempts, **times, "payload": orjson.loads(one.body)["payload"]}
        return answers.respond({"webhookEvent": told})

    async def _known(self, request: Request, owner: str) -> Endpoint:
        asked = request.path_params["id"]
        try:
            known = await self._gateway.webhooks.endpoints.get(asked, owner)
            if known.dialect == NAME:
                return known
        except NotFound:
            pass
        raise NotFound(f"Webhook endpoint {asked[:80]} not found")


def _events(fields: Strict) -> list[str] | None:
    if fields.raw("enabledEvents") is None:
        return None
    named = fields.texts("enabledEvents")
    if unknown := [name for name in named if name not in KNOWN_EVENTS]:
        raise wrong("enabledEvents", f"some of {', '.join(KNOWN_EVENTS)}", unknown[0])
    return list(named)


def _event(known: Endpoint, sent: Delivery) -> dict[str, Any]:
    if sent.status == DeliveryStatus.PENDING:
        status = "retrying" if sent.attempts else "created"
    else:
        status = "success" if sent.status == DeliveryStatus.DELIVERED else "failed"
    last = [made.at for made in sent.tries[-1:]]
    updated = max([sent.created_at, *last, *filter(None, [sent.done_at])])
    body = {"id": sent.id, "endpointId": known.id, "status": status, "type": sent.event}
    return {**body, "updatedAt": answers.moment(updated)}


def _body(request: Request, known: Endpoint) -> dict[str, Any]:
    team, project = (request.path_params.get(name) for name in ("team_id", "project_id"))
    described = {"description": known.description} if known.description else {}
    return {
        "id": known.id,
        "url": known.url,
        "enabled": known.enabled,
        "enabledEvents": list(known.events),
        **described,
        "nbFailedCalls": known.failed_calls,
        "nbTotalCalls": known.total_calls,
        "ownerId": (team or project or "")[:80],
        "ownerType": "team" if team else "project",
        "createdAt": answers.moment(known.created_at),
        "updatedAt": answers.moment(known.updated_at),
    }
