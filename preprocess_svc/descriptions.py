"""Kinds of control and their extractors as messages."""

from collections.abc import Sequence

from controlmesh.v1 import preprocess_pb2
from families.manifest import Manifest
from preprocess_svc.annotators import Annotators
from preprocess_svc.extraction.control import Algorithm, ControlType, Extractor, Learned, Parameter, Written


def kind_message(
    name: str, control: ControlType, annotators: Annotators, models: Sequence[Manifest]
) -> preprocess_pb2.ControlKind:
    """Describe a kind of control, or an added ControlNet that takes the hints of one under its own name."""
    usual = control.usual(annotators)
    own = name == control.kind
    return preprocess_pb2.ControlKind(
        kind=name,
        description=control.description if own else f"Like {control.kind}, whose hints it takes.",
        extractable=usual is not None,
        reads_mask=control.reads_mask,
        parameters=[_parameter(parameter) for parameter in usual.parameters] if usual else [],
        models=[model.name for model in models if name in model.controls],
        extractors=[_extractor(extractor, annotators) for extractor in control.extractors],
        controlnets=[
            preprocess_pb2.ControlNetIds(family=family, ids=ids) for family, ids in control.controlnets.items() if own
        ],
    )


def _extractor(extractor: Extractor, annotators: Annotators) -> preprocess_pb2.Extractor:
    missing = extractor.missing(annotators)
    card = annotators.card(extractor.heads[0]) if isinstance(extractor, Learned) and not missing else None
    return preprocess_pb2.Extractor(
        name=extractor.name,
        description=extractor.description,
        available=not missing,
        how_to_get=missing,
        stand_in=isinstance(extractor, Algorithm) and extractor.stand_in,
        reads_text=isinstance(extractor, Written),
        annotator=card.name if card else "",
        annotator_description=card.description if card else "",
        parameters=[_parameter(parameter) for parameter in extractor.parameters],
        source=extractor.source,
    )


def _parameter(parameter: Parameter) -> preprocess_pb2.ControlParameter:
    return preprocess_pb2.ControlParameter(
        name=parameter.name,
        description=parameter.description,
        minimum=parameter.minimum,
        maximum=parameter.maximum,
        default_value=parameter.default,
    )
