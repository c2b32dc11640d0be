"""Annotators: the models that extract hints from pictures, as every service sees them.

An annotator is one export: a card, and one graph for each group of heads. A head is one thing that a graph finds
(depth, edges, body parts); its tensors are the same for every architecture, so that one piece of code draws the hint.
`python -m export annotator` writes the card at `<repository>/annotator_<name>/annotator.json` as its last act.

Every graph takes `image` UINT8 [B, h, w, 3], RGB; the architecture's own preprocessing (channel order, mean and
deviation) is inside the graph. Maps have the picture's size unless the head says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from tritonclient.grpc import model_config_pb2 as triton

from families.graphs import part_config
from families.manifest import GraphFacts, ManifestError, write_card
from families.pictures import PICTURE
from families.profiles import CPU, Profile, Runtime
from families.tensors import Part, Tensor, stride_of

CARD_FILE = "annotator.json"

_WORD = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")
_LONGEST_NAME = 64

HEADS: Mapping[str, tuple[Tensor, ...]] = {
    # Nearness on any scale that grows towards the camera, as MiDaS, DPT and Depth Anything return it.
    "depth": (Tensor("depth", "FP32", ("H", "W")),),
    # Unit vectors; the hint's colour is (vector + 1) / 2.
    "normal": (Tensor("normal", "FP32", (3, "H", "W")),),
    # Index of each pixel's class in the card's `palette`.
    "segmentation": (Tensor("classes", "UINT8", ("H", "W")),),
    # Probability of an edge, 0 to 1.
    "softedge": (Tensor("softedge", "FP32", ("H", "W")),),
    "hed": (Tensor("hed", "FP32", ("H", "W")),),
    # A drawing on paper, 0 dark line to 1 blank, as the networks of informative drawings return it.
    "lineart": (Tensor("lineart", "FP32", ("H", "W")),),
    "lineart_anime": (Tensor("lineart_anime", "FP32", ("H", "W")),),
    # M-LSD's map at half the picture's size: the score of a line's centre (a logit), then the displacements
    # (x, y) of its start and its end, in cells.
    "mlsd": (Tensor("lines", "FP32", (5, "H/2", "W/2")),),
    # OpenPose at an eighth of the picture's size: affinities of limbs, then heatmaps of 18 parts and the background.
    "body": (Tensor("affinities", "FP32", (38, "H/8", "W/8")), Tensor("parts", "FP32", (19, "H/8", "W/8"))),
    # Heatmaps at an eighth of the picture's size: of 21 points of a hand or 70 of a face, and of the background.
    "hand": (Tensor("hand", "FP32", (22, "H/8", "W/8")),),
    "face": (Tensor("face", "FP32", (71, "H/8", "W/8")),),
}
"""Head -> the outputs of a graph that finds it, without the batch dimension."""

STRIDES: Mapping[str, int] = {head: stride_of(tensors[0].dims[-1]) for head, tensors in HEADS.items()}
"""Head -> pixels of the picture per side of a map's cell."""

SMALLEST = 64
"""Shorter side in pixels of the smallest picture that every graph is verified with, before rounding up to the card's
multiple."""

PROFILE = Profile(
    batch={"annotator": 8},
    queue_delay_us={"annotator": 0},
    queue_size=64,
    cpu_threads={"annotator": 1},
)


class AnnotatorCard(msgspec.Struct, frozen=True, kw_only=True):
    """One annotator whose graphs were traced, compared with torch and moved into place."""

    name: str
    """Suffix of `annotator_<name>`: lower-case letters, digits and single `_`."""
    architecture: str
    """Row of the exporter's table, such as `dpt` or `pidinet`."""
    description: str
    """What it is and what pictures it was trained on, one English sentence; shown to callers."""
    heads: dict[str, str]
    """Head -> the graph that finds it. One inference gives all heads of the same graph."""
    side: int
    """Shorter side at which it works best, pixels; the default of requests."""
    multiple: int
    """The sides of its picture must be multiples of this."""
    square: bool = False
    """Whether its picture must be `side` x `side`."""
    palette: tuple[tuple[int, int, int], ...] = ()
    """Colour of each class, RGB, for `segmentation`."""
    labels: tuple[str, ...] = ()
    """Name of each class, as long as `palette`."""
    graphs: dict[str, GraphFacts]
    """Graph name -> facts of its `1/model.onnx`."""
    source: str
    """Where the weights came from: the folder's name or the hub id."""
    versions: dict[str, str]
    fingerprint: str
    """One hash over sources, versions and options; an export with the same fingerprint has nothing to do."""
    target: str
    """`cpu` or `gpu`: the machine for which the `config.pbtxt` files were written."""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"{self.name!r} is not a valid name: use lower-case letters, digits and single '_'")
        unknown = sorted(set(self.heads) - set(HEADS))
        if unknown or not self.heads:
            raise ValueError(f"heads must be among {', '.join(HEADS)}, not {unknown}")
        if set(self.heads.values()) != set(self.graphs):
            raise ValueError("every graph must have a head, and every head a graph")
        if "segmentation" in self.heads and not 0 < len(self.palette) <= 256:
            raise ValueError(f"a segmenter needs 1 to 256 colours, not {len(self.palette)}")
        if self.labels and len(self.labels) != len(self.palette):
            raise ValueError(f"{len(self.labels)} labels do not match {len(self.palette)} colours")


def is_name(name: str) -> bool:
    """Whether `name` is a valid annotator name: lower-case letters, digits and single `_`, 64 at most."""
    return len(name) <= _LONGEST_NAME and _WORD.fullmatch(name) is not None


def smallest_side(card: AnnotatorCard) -> int:
    """Side in pixels of the smallest square picture that the annotator's graphs are verified with."""
    return card.side if card.square else -(-SMALLEST // card.multiple) * card.multiple


def folder_name(name: str) -> str:
    """The folder of the annotator's card; also the name of its graph if it has only one."""
    return f"annotator_{name}"


def graph_name(name: str, head: str = "") -> str:
    """The graph of an annotator, or of one head if the heads have separate graphs."""
    return f"annotator_{name}_{head}" if head else folder_name(name)


def part(graph: str, heads: Iterable[str]) -> Part:
    """The tensors of the graph that finds `heads`, in the order of HEADS. Raises KeyError for an unknown head."""
    wanted = set(heads)
    if unknown := wanted - HEADS.keys():
        raise KeyError(sorted(unknown)[0])
    outputs = tuple(tensor for head, tensors in HEADS.items() if head in wanted for tensor in tensors)
    return Part(graph, "annotator", (PICTURE,), outputs)


def parts(heads: Mapping[str, str]) -> tuple[Part, ...]:
    """Every graph of an annotator, sorted; `heads` as in its card."""
    graphs = sorted(set(heads.values()))
    return tuple(part(graph, (head for head, of in heads.items() if of == graph)) for graph in graphs)


def configs(heads: Mapping[str, str], runtime: Runtime = CPU) -> dict[str, triton.ModelConfig]:
    """`config.pbtxt` of every graph of an annotator, by folder name."""
    return {row.graph: part_config(row, PROFILE, runtime) for row in parts(heads)}


def read_card(repository: Path, name: str) -> AnnotatorCard:
    """Read the card of one annotator. Raises ManifestError if it is missing or invalid."""
    path = repository / folder_name(name) / CARD_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=AnnotatorCard)
    except FileNotFoundError:
        raise ManifestError(
            f"annotator {name!r} is not exported: {repository.name}/{folder_name(name)}/{CARD_FILE} is missing; see "
            "`python -m export annotator --help`"
        ) from None
    except (msgspec.MsgspecError, ValueError, OSError, RecursionError) as error:
        raise ManifestError(
            f"{repository.name}/{folder_name(name)}/{CARD_FILE} is not a valid card for this version ({error}); "
            "export the annotator again with --force"
        ) from error


def list_annotators(repository: Path) -> list[AnnotatorCard]:
    """Read every annotator's card in the repository, by name. Raises ManifestError on the first unreadable one."""
    prefix = folder_name("")
    folders = sorted(path.parent.name for path in repository.glob(f"{prefix}*/{CARD_FILE}"))
    return [read_card(repository, folder.removeprefix(prefix)) for folder in folders]


def write_annotator(folder: Path, card: AnnotatorCard) -> Path:
    """Write the card into the annotator's `folder` atomically: a reader sees either the old or the new one."""
    return write_card(folder / CARD_FILE, card)


def best(cards: Iterable[AnnotatorCard]) -> dict[str, AnnotatorCard]:
    """Choose the annotator of each head: the one with the fewest heads wins, so that a model exported for one kind
    replaces one that does many."""
    chosen: dict[str, AnnotatorCard] = {}
    for card in sorted(cards, key=lambda card: (len(card.heads), card.name)):
        for head in card.heads:
            chosen.setdefault(head, card)
    return chosen
