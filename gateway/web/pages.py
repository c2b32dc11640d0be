"""Requests that a web page makes a browser send: whose page it was, which name it asked for, and what it may send.

A browser lets any page send some requests anywhere (`GET`, and `POST` of a form or of plain text), and says whose page
it was in `Origin`, `Sec-Fetch-Site` and `Referer` (Fetch standard, section 3; W3C Fetch Metadata). A page whose name is
resolved to another address from one moment to the next (DNS rebinding) is told by `Host` alone.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from gateway.web.malformed import Malformed
from gateway.web.urlencoded import URLENCODED

_SHOWN = 80
# A browser asks first, with a preflight request, before a page may send any other type (Fetch standard, section 2.2.2).
_UNASKED = frozenset({"text/plain", URLENCODED, "multipart/form-data"})
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+/[!#$%&'*+.^_`|~0-9a-z-]+")
_SAFE = frozenset({"GET", "HEAD"})


class Refused(Malformed):
    """The request's headers are refused, in every dialect with the same `status`."""


class ForeignPage(Refused):
    """A web page of another origin sent the request."""

    status = 403


class ForeignHost(Refused):
    """The request names a host that is not this server."""

    status = 421


class NotJson(Refused):
    """A JSON body that is not declared as one, as pages of other origins may send it."""


def check_host(sent: Collection[str], own: Collection[str]) -> None:
    """Check the Host headers of a request: loopback's names and addresses, and the names `own`.

    A request without any, which HTTP/1.0 allows, is no page's.

    Raises:
        ForeignHost: another name.
    """
    for host in sent:
        name = _hostname(host)
        if not (name and (name in own or _is_loopback(name))):
            raise ForeignHost(
                f"this server is not {host[:_SHOWN]!r}; where no API key is asked for it answers to 127.0.0.1, [::1], "
                "localhost, and the host of CN_GATEWAY_PUBLIC_URL if that is set"
            )


def check_page(method: str, headers: Mapping[str, str], hosts: Collection[str], origins: Collection[str]) -> None:
    """Check that no page of another origin sent a request.

    Args:
        method: of the request.
        headers: of the request.
        hosts: host[:port] of this server, as the request and the settings name it.
        origins: those whose pages may call.

    Raises:
        ForeignPage: one did.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "").strip().lower()
    if origin is not None and origin in origins:
        return
    if origin is not None and (origin.partition("://")[2] not in hosts or site == "cross-site"):
        raise _foreign(f"a page of the origin {origin[:_SHOWN]!r}")
    # Links, pictures and forms that read have no Origin; one that changes something always has.
    if origin is None and (site == "cross-site" or (site == "same-site" and method not in _SAFE)):
        if method in _SAFE and _origin_of(headers.get("referer", "")) in origins:
            return
        raise _foreign("a page of another origin")


def check_json(content_type: str) -> None:
    """Check that a body that is read as JSON is not declared as what a page may send to another origin unasked.

    Raises:
        NotJson: plain text, a form, nothing, or no media type.
    """
    essence = content_type.partition(";")[0].strip().lower()
    if essence in _UNASKED or not _MEDIA_TYPE.fullmatch(essence):
        sent = f"not {essence[:_SHOWN]!r}" if essence else "but has none"
        raise NotJson(
            f"the body must be sent with Content-Type: application/json where no API key is asked for, {sent}"
        )


def _foreign(whose: str) -> ForeignPage:
    return ForeignPage(
        f"{whose} sent this request, and no API key is asked for here; list origins that may call in "
        "CN_GATEWAY_ORIGINS, as https://app.example"
    )


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}".lower()
    except ValueError:
        return ""


def _hostname(host: str) -> str:
    """The name or address in a Host header, in lower case; "" if it is neither."""
    try:
        parts = urlsplit(f"//{host}")
        valid = parts.netloc == host and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        return ""
    return (parts.hostname or "").removesuffix(".") if valid else ""


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
