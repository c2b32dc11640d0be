"""Reads pictures given as this gateway's own links from the store instead of over the network."""

from urllib.parse import parse_qs, urlsplit

from gateway.egress.hosts import LONGEST_URL
from gateway.files.assets import PATH, Asset, Assets
from gateway.generation.pictures import Pictures, checked
from mesh.errors import Forbidden, InvalidInput, NotFound


class OwnPictures:
    """As gateway.generation.pictures.Pictures, which reads all other pictures.

    Links are checked as for any reader: expired ones are refused.

    Args:
        pictures: reads all other pictures.
        assets: the gateway's own files.
        base: start of this gateway's links, without a trailing slash.
    """

    def __init__(self, pictures: Pictures, assets: Assets, base: str) -> None:
        self._pictures = pictures
        self._assets = assets
        self._start = f"{base}{PATH}/"

    async def read(self, value: object, field: str) -> bytes:
        """The encoded picture that `value` holds or refers to.

        Raises:
            InvalidInput: not a picture, or not available.
        """
        if not isinstance(value, str) or not value[: 2 * LONGEST_URL].strip().startswith(self._start):
            return await self._pictures.read(value, field)
        parts = urlsplit(value.strip())
        sent = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            found = await self._assets.serve(parts.path.rpartition("/")[2], sent.get("expires"), sent.get("signature"))
        except (NotFound, Forbidden):
            raise InvalidInput(f"unable to fetch the picture of {field}: its link has expired", field=field) from None
        if not isinstance(found, Asset):
            return await self._pictures.read(found.url, field)
        return await checked(found.content, field)
