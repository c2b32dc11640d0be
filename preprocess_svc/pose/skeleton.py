"""OpenPose's skeletons: the points, the limbs between them, and the maps of each limb."""

PARTS = 18
NOSE, NECK = 0, 1
RIGHT_SHOULDER, RIGHT_ELBOW, RIGHT_WRIST = 2, 3, 4
LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST = 5, 6, 7
RIGHT_HIP, RIGHT_KNEE, RIGHT_ANKLE = 8, 9, 10
LEFT_HIP, LEFT_KNEE, LEFT_ANKLE = 11, 12, 13
RIGHT_EYE, LEFT_EYE, RIGHT_EAR, LEFT_EAR = 14, 15, 16, 17

LIMBS = (
    (NECK, RIGHT_SHOULDER),
    (NECK, LEFT_SHOULDER),
    (RIGHT_SHOULDER, RIGHT_ELBOW),
    (RIGHT_ELBOW, RIGHT_WRIST),
    (LEFT_SHOULDER, LEFT_ELBOW),
    (LEFT_ELBOW, LEFT_WRIST),
    (NECK, RIGHT_HIP),
    (RIGHT_HIP, RIGHT_KNEE),
    (RIGHT_KNEE, RIGHT_ANKLE),
    (NECK, LEFT_HIP),
    (LEFT_HIP, LEFT_KNEE),
    (LEFT_KNEE, LEFT_ANKLE),
    (NECK, NOSE),
    (NOSE, RIGHT_EYE),
    (RIGHT_EYE, RIGHT_EAR),
    (NOSE, LEFT_EYE),
    (LEFT_EYE, LEFT_EAR),
    (RIGHT_SHOULDER, RIGHT_EAR),
    (LEFT_SHOULDER, LEFT_EAR),
)
"""The parts that each limb joins, in the order in which limbs are found and drawn."""
DRAWN_LIMBS = 17
"""The number of limbs drawn; the last two, from shoulder to ear, only help to tell people apart."""
AFFINITIES = (
    (12, 13),
    (20, 21),
    (14, 15),
    (16, 17),
    (22, 23),
    (24, 25),
    (0, 1),
    (2, 3),
    (4, 5),
    (6, 7),
    (8, 9),
    (10, 11),
    (28, 29),
    (30, 31),
    (34, 35),
    (32, 33),
    (36, 37),
    (18, 19),
    (26, 27),
)
"""The maps of each limb's direction: x, y."""

COLOURS = (
    (255, 0, 0),
    (255, 85, 0),
    (255, 170, 0),
    (255, 255, 0),
    (170, 255, 0),
    (85, 255, 0),
    (0, 255, 0),
    (0, 255, 85),
    (0, 255, 170),
    (0, 255, 255),
    (0, 170, 255),
    (0, 85, 255),
    (0, 0, 255),
    (85, 0, 255),
    (170, 0, 255),
    (255, 0, 255),
    (255, 0, 170),
    (255, 0, 85),
)
"""RGB of each part and, darkened, of the limb with the same number."""

HAND_POINTS = 21
FINGERS = tuple(
    ((0 if step == 0 else 4 * finger + step), 4 * finger + step + 1) for finger in range(5) for step in range(4)
)
"""The pairs of points of a hand that are joined: from the wrist, 0, along the thumb, then along each finger."""
