"""Reads pictures in requests of the Scenario dialect: a data URL, base64, an http(s) URL, or an asset's id.

Inline pictures become assets, and the echo has their ids: a job's record never contains a picture.
"""

from gateway.bootstrap import Gateway
from gateway.dialects.common.strict import Strict
from gateway.dialects.scenario.answers import ASSET_ID, asset_id
from gateway.dialects.scenario.fields import wrong
from gateway.egress.hosts import LONGEST_URL
from gateway.generation.pictures import is_url
from mesh.errors import InvalidInput, NotFound

UPLOADED = "uploaded"
"""`source` of assets that clients sent inline."""


class Reader:
    """Reads the pictures of a request; one that is used twice is read once.

    Args:
        gateway: its parts.
        owner: whose assets may be used.
        keeping: whether inline pictures become assets; False for requests that only ask for the price.
    """

    def __init__(self, gateway: Gateway, owner: str, keeping: bool) -> None:
        self._gateway = gateway
        self._owner = owner
        self._keeping = keeping
        self._known: dict[str, tuple[bytes, str]] = {}

    async def read(self, fields: Strict, name: str) -> bytes:
        """The encoded picture in a field that was sent.

        Raises:
            InvalidInput: not a picture, or not available; names the field.
        """
        value = fields.raw(name)
        if not isinstance(value, str):
            raise wrong(name, "a data URL or an asset id", value)
        if value not in self._known:
            self._known[value] = await self._had(name, value if len(value) > LONGEST_URL else value.strip())
        content, told = self._known[value]
        if told:
            fields.tell(name, told)
        return content

    async def _had(self, name: str, value: str) -> tuple[bytes, str]:
        if value.startswith("asset_"):
            return await self._stored(name, value), value
        content = await self._gateway.pictures.read(value, name)
        if is_url(value):
            return content, value
        if not self._keeping:
            return content, ""
        # Kept as long as a job's own pictures; explicit uploads are kept until they are deleted.
        expires_s = self._gateway.settings.retention_s
        record = await self._gateway.assets.keep(content, self._owner, source=UPLOADED, expires_s=expires_s)
        return content, asset_id(record.id)

    async def _stored(self, name: str, value: str) -> bytes:
        found = ASSET_ID.fullmatch(value)
        try:
            if found is None:
                raise NotFound("")
            record = await self._gateway.assets.record(found[1], self._owner)
            return (await self._gateway.assets.get(record.id)).content
        except NotFound:
            raise InvalidInput(f'"{name}": Asset {value[:80]} not found', field=name) from None


def first(fields: Strict, *names: str) -> str | None:
    """The first of `names` that was sent and is not empty."""
    return next((name for name in names if fields.raw(name) not in (None, "")), None)


def missing(*names: str) -> InvalidInput:
    """The error for a required picture that is in none of these fields."""
    return InvalidInput(f"one of {', '.join(names)} must hold a picture: a data URL or an asset id", field=names[0])
