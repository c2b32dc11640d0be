"""Pictures from a running ControlMesh.

from controlmesh_client import Client, Control

with Client() as mesh:
    made = mesh.generate("a red star", controls=[Control("canny", "room.png", weight=0.8, end=0.6)], seed=7)
    made[0].save("star.png")
"""

from controlmesh_client.async_client import AsyncClient, AsyncJob
from controlmesh_client.client import Client, Job
from controlmesh_client.controls import Control
from controlmesh_client.patience import Patience
from controlmesh_client.pictures import AnyPicture, Asset, Picture
from controlmesh_client.problems import (
    BodyCompressed,
    BodyTooLarge,
    Cancelled,
    Conflict,
    ControlMeshError,
    DeadlineExceeded,
    Forbidden,
    Internal,
    Invalid,
    Malformed,
    MethodNotAllowed,
    Misdirected,
    NoAnswer,
    NotAcceptable,
    NotEnabled,
    NotFinished,
    NotFound,
    Overloaded,
    Problem,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
)
from controlmesh_client.results import GeneratedPicture, Generation, Hint, Preview, Progress
from controlmesh_client.version import VERSION as __version__

__all__ = [
    "AnyPicture",
    "Asset",
    "AsyncClient",
    "AsyncJob",
    "BodyCompressed",
    "BodyTooLarge",
    "Cancelled",
    "Client",
    "Conflict",
    "Control",
    "ControlMeshError",
    "DeadlineExceeded",
    "Forbidden",
    "GeneratedPicture",
    "Generation",
    "Hint",
    "Internal",
    "Invalid",
    "Job",
    "Malformed",
    "MethodNotAllowed",
    "Misdirected",
    "NoAnswer",
    "NotAcceptable",
    "NotEnabled",
    "NotFinished",
    "NotFound",
    "Overloaded",
    "Patience",
    "Picture",
    "Preview",
    "Problem",
    "Progress",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "__version__",
]
