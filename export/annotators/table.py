"""Every architecture of annotators that can be exported, one row each; importing it does not import torch."""

from __future__ import annotations

from collections.abc import Mapping

from export.annotators import demo_folder, library_files, transformers_folder
from export.annotators.architecture import Architecture, Deferred

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name="dpt",
        kinds=("depth",),
        description="DPTForDepthEstimation of transformers (MiDaS 3), e.g. Intel/dpt-large.",
        recognises=transformers_folder.of_class("DPTForDepthEstimation"),
        heads=lambda source: (("depth",),),
        files=transformers_folder.files,
        load=Deferred("export.annotators.transformers_depth"),
    ),
    Architecture(
        name="depth_anything",
        kinds=("depth",),
        description="DepthAnythingForDepthEstimation of transformers, e.g. depth-anything/Depth-Anything-V2-Small-hf.",
        recognises=transformers_folder.of_class("DepthAnythingForDepthEstimation"),
        heads=lambda source: (("depth",),),
        files=transformers_folder.files,
        load=Deferred("export.annotators.transformers_depth"),
    ),
    Architecture(
        name="glpn",
        kinds=("depth",),
        description="GLPNForDepthEstimation of transformers (metric, turned into nearness), e.g. vinvino02/glpn-nyu.",
        recognises=transformers_folder.of_class("GLPNForDepthEstimation"),
        heads=lambda source: (("depth",),),
        files=transformers_folder.files,
        load=Deferred("export.annotators.transformers_depth"),
    ),
    Architecture(
        name="upernet",
        kinds=("segmentation",),
        description="UperNetForSemanticSegmentation of transformers, e.g. openmmlab/upernet-convnext-small.",
        recognises=transformers_folder.of_class("UperNetForSemanticSegmentation"),
        heads=lambda source: (("segmentation",),),
        files=transformers_folder.files,
        load=Deferred("export.annotators.transformers_segmentation"),
    ),
    Architecture(
        name="segformer",
        kinds=("segmentation",),
        description="SegformerForSemanticSegmentation of transformers, e.g. nvidia/segformer-b0-finetuned-ade-512-512.",
        recognises=transformers_folder.of_class("SegformerForSemanticSegmentation"),
        heads=lambda source: (("segmentation",),),
        files=transformers_folder.files,
        load=Deferred("export.annotators.transformers_segmentation"),
    ),
    Architecture(
        name="demo",
        kinds=("demo",),
        description="The annotator of the demo's shapes: the one that ships with the project, or a folder you trained.",
        recognises=demo_folder.recognises,
        heads=lambda source: (demo_folder.HEADS,),
        files=demo_folder.files,
        load=Deferred("export.annotators.demo"),
    ),
    *library_files.ROWS,
)


def kinds() -> Mapping[str, tuple[Architecture, ...]]:
    """KIND -> the rows that serve it, in the table's order."""
    words = dict.fromkeys(kind for row in ARCHITECTURES for kind in row.kinds)
    return {kind: tuple(row for row in ARCHITECTURES if kind in row.kinds) for kind in words}
