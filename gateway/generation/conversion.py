"""Pictures written anew, in another format or without what is beside their middle: preprocess_svc does it.

No pixel is decoded in this process, which holds keys and records; not even one of a picture that the mesh made.
"""

from controlmesh.v1 import preprocess_pb2, types_pb2
from gateway.generation.services import Services
from mesh.channels import call, outgoing

FORMATS = {
    "PNG": types_pb2.IMAGE_FORMAT_PNG,
    "BMP": types_pb2.IMAGE_FORMAT_BMP,
    "GIF": types_pb2.IMAGE_FORMAT_GIF,
    "TIFF": types_pb2.IMAGE_FORMAT_TIFF,
}
"""Format -> its number in messages."""


class Conversion:
    """Has pictures written anew.

    Args:
        services: the three services; only preprocess_svc is called.
        deadline_s: deadline of a picture in seconds.
    """

    def __init__(self, services: Services, deadline_s: float) -> None:
        self._services = services
        self._deadline_s = deadline_s

    async def square(self, content: bytes) -> bytes:
        """The largest square in the middle of a picture, as a PNG. Raises MeshError as preprocess_svc raises it."""
        return await self._converted(content, "PNG", square=True)

    async def to(self, content: bytes, format: str) -> bytes:
        """The picture in one of FORMATS. Raises MeshError as preprocess_svc raises it."""
        return await self._converted(content, format)

    async def _converted(self, content: bytes, format: str, *, square: bool = False) -> bytes:
        request = preprocess_pb2.ConvertPictureRequest(
            image=types_pb2.Image(content=content), square=square, format=FORMATS[format]
        )
        answer = await call(
            self._services.preprocess.ConvertPicture(request, timeout=self._deadline_s, metadata=outgoing())
        )
        return answer.image.content
