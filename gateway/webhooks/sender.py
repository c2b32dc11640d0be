"""Sends a webhook: a signed POST to a checked address, with a short timeout."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from standardwebhooks import Webhook

from gateway.egress.hosts import FAILURES, Egress, count, parsed
from mesh.telemetry import log

TIMEOUT_S = 15.0
_MOST_READ = 4096
_USER_AGENT = "ControlMesh-Webhooks/1"


@dataclass(frozen=True)
class Answer:
    """The result of an attempt.

    Attributes:
        status: HTTP status; None for no answer. The reason is not kept, so that callers can't explore names and ports.
        retry_after_s: seconds in the receiver's Retry-After; 0 for none.
    """

    status: int | None = None
    retry_after_s: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx: redirects are not followed, so they are failures."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more messages: status 410."""
        return self.status == 410

    def __str__(self) -> str:
        return "no answer" if self.status is None else str(self.status)


def signature(secret: str, id: str, at: float, body: str) -> dict[str, str]:
    """The signature headers of Standard Webhooks.

    Args:
        secret: "whsec_" and base64.
        id: of the message.
        at: time of sending in seconds since 1970.
        body: the body as sent.
    """
    signed = Webhook(secret).sign(id, datetime.fromtimestamp(at, UTC), body)
    return {**unsigned(id, at), "webhook-signature": signed}


def unsigned(id: str, at: float) -> dict[str, str]:
    """The headers that need no secret."""
    return {"webhook-id": id, "webhook-timestamp": str(int(at))}


class Sender:
    """Posts webhooks.

    Args:
        egress: knows which hosts may be connected to.
        timeout_s: timeout of an answer in seconds.
    """

    def __init__(self, egress: Egress, timeout_s: float = TIMEOUT_S) -> None:
        self._egress = egress
        self._timeout_s = timeout_s

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        """POST JSON to `url`. The answer's body is discarded."""
        answer: Answer | None = None
        sent = {**headers, "Content-Type": "application/json", "User-Agent": _USER_AGENT}
        try:
            async with asyncio.timeout(self._timeout_s):
                at = parsed(url)
                async with (
                    self._egress.session(at, sent) as session,
                    session.post(at, data=body.encode(), allow_redirects=False) as response,
                ):
                    answer = Answer(response.status, _retry_after(response.headers.get("Retry-After")))
                    # Read a little, so that a receiver with a short answer does not see a broken connection.
                    await response.content.read(_MOST_READ)
        except FAILURES as error:
            if answer is None:
                count(error)
                log.info("webhook not answered", reason=f"{type(error).__name__}: {error}"[:200])
        return answer or Answer()


def _retry_after(text: str | None) -> float:
    """Seconds of a Retry-After header, a number or a date; 0 for none."""
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with suppress(ValueError, OverflowError):
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, (at - datetime.now(UTC)).total_seconds())
    return 0.0
