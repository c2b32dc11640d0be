"""Pictures that a request names by this gateway's own links: read from the store, not fetched over the network."""

from urllib.parse import parse_qs, urlsplit

from gateway.files.assets import PATH, Asset, Assets
from gateway.generation.pictures import Pictures
from mesh.errors import Forbidden, InvalidInput, NotFound
from mesh.pictures import check


class OwnPictures:
    """As gateway.generation.pictures.Pictures, which reads what is not here.

    A link is as good as it is for whoever opens it: one that has ended is refused.

    Args:
        pictures: reads everything else.
        assets: where the gateway's own files lie.
        base: start of the links that this gateway gives, without a slash at its end.
    """

    def __init__(self, pictures: Pictures, assets: Assets, base: str) -> None:
        self._pictures = pictures
        self._assets = assets
        self._start = f"{base}{PATH}/"

    async def read(self, value: object, field: str) -> bytes:
        """The encoded picture that `value` holds or names.

        Raises:
            InvalidInput: no picture, or not to be had.
        """
        if not isinstance(value, str) or not value.startswith(self._start):
            return await self._pictures.read(value, field)
        parts = urlsplit(value)
        sent = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            found = await self._assets.serve(parts.path.rpartition("/")[2], sent.get("expires"), sent.get("signature"))
        except (NotFound, Forbidden):
            raise InvalidInput(f"unable to fetch the picture of {field}: its link has ended", field=field) from None
        if not isinstance(found, Asset):
            return await self._pictures.read(found.url, field)
        check(found.content, field=field)
        return found.content
