"""Find people, their hands and their faces with OpenPose's annotators, and draw them."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators
from preprocess_svc.extraction import maps
from preprocess_svc.pose.body import Person, find_people
from preprocess_svc.pose.boxes import Box, face_box, hand_boxes
from preprocess_svc.pose.drawing import Pose, draw
from preprocess_svc.pose.faces import face_picture, face_points
from preprocess_svc.pose.fitting import body_picture, fitted
from preprocess_svc.pose.hands import SIDES, hand_picture, hand_points

HOW_TO_GET = (
    "python -m export annotator openpose FOLDER, where FOLDER holds body_pose_model.pth, hand_pose_model.pth and "
    "facenet.pth of lllyasviel/Annotators"
)
MOST_DETAILED = 8
"""Most people whose hands and faces are searched, those with the best scores: each hand takes four inferences."""

Shares = NDArray[np.float32]


async def skeletons(
    picture: Pixels, side: int, annotators: Annotators, *, body: bool = False, hands: bool = False, face: bool = False
) -> Pixels:
    """Draw the people of a picture as OpenPose does; the rule of controlnet_aux 0.0.10's OpenposeDetector.

    Unlike the library's, the work for an unusual picture is bounded: see preprocess_svc.pose.body,
    preprocess_svc.pose.fitting.LONGEST and MOST_DETAILED.

    Args:
        picture: UINT8 [h, w, 3].
        side: shorter side at which people are found and drawn, pixels; 0 for the annotator's default.
        annotators: with one for the head `body`, and for `hand` and `face` if they are drawn.
        body, hands, face: what to draw.

    Returns:
        UINT8 [h, w, 3], RGB on black.

    Raises:
        InvalidInput: `side` is out of range.
        InternalError: the annotator's maps have values that are not finite numbers.
        MeshError: as Annotators.infer.
    """
    card = annotators.card("body")
    if card is None:
        raise RuntimeError("skeletons need an annotator for bodies")
    scene = await asyncio.to_thread(fitted, picture, card, side)
    people = await _people(scene, annotators)
    detailed = sorted(people, key=lambda person: person.score, reverse=True)[:MOST_DETAILED]
    hands_of = await _hands(scene, detailed, annotators) if hands else {}
    face_of = await _faces(scene, detailed, annotators) if face else {}
    height, width = _size(scene)
    poses = [
        Pose(person.points / (width, height) if body else None, hands_of.get(person, ()), face_of.get(person))
        for person in people
    ]
    return await asyncio.to_thread(_drawn, poses, (height, width), _size(picture))


def _drawn(poses: Sequence[Pose], size: tuple[int, int], goal: tuple[int, int]) -> Pixels:
    return maps.resized(draw(poses, size), (goal[1], goal[0]))


async def _people(scene: Pixels, annotators: Annotators) -> list[Person]:
    small, inside = await asyncio.to_thread(body_picture, scene)
    seen = await annotators.infer("body", small)
    affinities, parts = maps.numbers(seen, "affinities"), maps.numbers(seen, "parts")
    return await asyncio.to_thread(find_people, affinities, parts, inside, _size(scene))


async def _hands(scene: Pixels, people: Sequence[Person], annotators: Annotators) -> dict[Person, tuple[Shares, ...]]:
    """The hands of each person that were searched for, the left one first."""
    boxes = [(person, box) for person in people for box in hand_boxes(person.points, _size(scene)).values()]
    crops = [box.cut(scene) for _, box in boxes]
    # One size at a time: pictures of the same size share a batch.
    by_side = {side: await _seen("hand", crops, partial(hand_picture, side=side), annotators) for side in SIDES}

    def found() -> dict[Person, tuple[Shares, ...]]:
        hands: dict[Person, tuple[Shares, ...]] = {}
        for index, (person, box) in enumerate(boxes):
            points = hand_points({side: of_side[index] for side, of_side in by_side.items()}, _size(crops[index]))
            hands[person] = (*hands.get(person, ()), _shares(points, box, scene))
        return hands

    return await asyncio.to_thread(found)


async def _faces(scene: Pixels, people: Sequence[Person], annotators: Annotators) -> dict[Person, Shares]:
    boxes = [(person, box) for person in people if (box := face_box(person.points, _size(scene)))]
    crops = [box.cut(scene) for _, box in boxes]
    seen = await _seen("face", crops, face_picture, annotators)

    def found() -> dict[Person, Shares]:
        return {
            person: _shares(face_points(heatmaps, _size(crop)), box, scene)
            for (person, box), crop, heatmaps in zip(boxes, crops, seen, strict=True)
        }

    return await asyncio.to_thread(found)


async def _seen(
    head: str, crops: Sequence[Pixels], prepare: Callable[[Pixels], Pixels], annotators: Annotators
) -> list[NDArray[np.float32]]:
    """The head's heatmaps of each crop, all requested at once."""
    pictures = await asyncio.to_thread(lambda: [prepare(crop) for crop in crops])
    seen = await asyncio.gather(*(annotators.infer(head, picture) for picture in pictures))
    return [maps.numbers(one, head) for one in seen]


def _shares(points: NDArray[np.intp], box: Box, scene: Pixels) -> Shares:
    """Convert pixels of a box to shares of the picture, in the library's own precision; 0 means not found."""
    height, width = _size(scene)
    places: Shares = (points + np.array([box.x, box.y])).astype(np.float32)
    places[points == 0] = -1
    places /= np.array([width, height], np.float32)
    return places


def _size(picture: Pixels) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]
