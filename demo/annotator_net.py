"""The demo's annotator: a small U-Net that finds depth, normals, classes and soft edges of a picture in one pass."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
from torch import Tensor, nn
from torch.nn import functional

from demo.hints import SEGMENT_COLOURS

ARCHITECTURE = "AnnotatorNet"
CONFIG, WEIGHTS = "config.json", "model.safetensors"

#: Channels at the picture's size, at a half, a quarter and an eighth of it.
CHANNELS = (16, 32, 64, 96)
#: Dilations of the middle's residual blocks, two convolutions each: together they look across a whole 128 px picture.
DILATIONS = ((1, 2), (4, 1))
GROUPS = 8
#: Head -> channels of the last convolution, in this order.
HEADS = {"depth": 1, "normal": 3, "segmentation": len(SEGMENT_COLOURS), "softedge": 1}
#: Sides of a picture are multiples of this.
MULTIPLE = 2 ** (len(CHANNELS) - 1)


class Block(nn.Module):
    """A 3x3 convolution, group norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.GroupNorm(GROUPS, outputs)

    def forward(self, features: Tensor) -> Tensor:
        return functional.silu(self.norm(self.conv(features)))


class AnnotatorNet(nn.Module):
    """Fully convolutional: pictures of any size whose sides are multiples of MULTIPLE.

    channels, dilations: see CHANNELS and DILATIONS, which these weights have; others are for trials.
    """

    def __init__(self, channels: Sequence[int] = CHANNELS, dilations: Sequence[tuple[int, int]] = DILATIONS) -> None:
        super().__init__()
        self.channels, self.dilations = tuple(channels), tuple((a, b) for a, b in dilations)
        steps = list(zip(self.channels, self.channels[1:], strict=False))
        self.stem = Block(3, self.channels[0])
        self.down = nn.ModuleList(
            nn.Sequential(Block(above, below, stride=2), Block(below, below)) for above, below in steps
        )
        deep = self.channels[-1]
        self.middle = nn.ModuleList(
            nn.Sequential(Block(deep, deep, dilation=first), Block(deep, deep, dilation=second))
            for first, second in self.dilations
        )
        self.narrow = nn.ModuleList(nn.Conv2d(below, above, 1) for above, below in reversed(steps))
        self.up = nn.ModuleList(Block(above, above) for above, _ in reversed(steps))
        self.heads = nn.Conv2d(self.channels[0], sum(HEADS.values()), 1)

    def raw(self, image: Tensor) -> dict[str, Tensor]:
        """Every head before its last function, float32 [B, channels, h, w]: logits, and vectors of any length."""
        features, skips = self.stem(image * 2 - 1), []
        for down in self.down:
            skips.append(features)
            features = down(features)
        for block in self.middle:
            features = features + block(features)
        for narrow, up, skip in zip(self.narrow, self.up, reversed(skips), strict=True):
            features = up(functional.interpolate(narrow(features), scale_factor=2.0, mode="nearest") + skip)
        parts = self.heads(features).float().split(list(HEADS.values()), dim=1)
        return dict(zip(HEADS, parts, strict=True))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """FP32 [B, 3, h, w] RGB of 0..1 -> what each head found, FP32, of the picture's size.

        depth [B, h, w]: nearness 0..1, as the demo's depth hint, of a ground that faces the eye. normal [B, 3, h, w]:
        unit vectors, x right, y up, z to the eye. segmentation [B, 7, h, w]: logits, classes in the order of
        SEGMENT_COLOURS. softedge [B, h, w]: 0..1.
        """
        raw = self.raw(image)
        vectors = raw["normal"]
        return {
            "depth": raw["depth"][:, 0].sigmoid(),
            "normal": vectors / vectors.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt(),
            "segmentation": raw["segmentation"],
            "softedge": raw["softedge"][:, 0].sigmoid(),
        }


def save_net(net: AnnotatorNet, folder: Path) -> None:
    """Write CONFIG and WEIGHTS, half precision. Raises ValueError when a weight does not fit into it."""
    weights = {name: weight.detach().half().contiguous() for name, weight in net.state_dict().items()}
    if not all(weight.isfinite().all() for weight in weights.values()):
        raise ValueError("A weight of the annotator is not finite in half precision; train that stage again.")
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "architecture": ARCHITECTURE,
        "channels": net.channels,
        "dilations": net.dilations,
        "labels": list(SEGMENT_COLOURS),
    }
    (folder / CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    safetensors.torch.save_file(weights, folder / WEIGHTS)


def load_net(folder: Path) -> AnnotatorNet:
    """A frozen annotator in float32. Raises RuntimeError for weights that are not exactly those of its CONFIG."""
    settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    net = AnnotatorNet(settings["channels"], [(first, second) for first, second in settings["dilations"]])
    net.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    return net.float().eval().requires_grad_(False)
