"""Make hints: from a picture, from text, or from a ready hint, at the size of the picture to generate."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from families.limits import HINT_CHARACTERS
from mesh.decoders import Decoding, Threads
from mesh.errors import InvalidInput, MeshError
from mesh.pictures import Ground, Pixels
from mesh.suggestions import did_you_mean
from preprocess_svc.annotators import Annotators
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm, ControlType, Extractor, Learned, Written
from preprocess_svc.fitting import fit_source, fitted, fitted_mask
from preprocess_svc.masks import mark
from preprocess_svc.remarks import on_hint, on_mask, on_ready


@dataclass(frozen=True, slots=True)
class Wish:
    """A request for one hint.

    Attributes:
        kind: control kind.
        content: PNG, JPEG or WebP file: the picture to extract from, or the ready hint; b"" beside `text`.
        auto_hint: whether to extract.
        parameters: of the extractor, as given; not used for a ready hint.
        extractor: its name; "" for the default one.
        text: text to make the hint from in place of a picture; "" for none.
        mask: the control's own mask, a PNG, JPEG or WebP file; None if it has none.
    """

    kind: str
    content: bytes = field(default=b"", repr=False)
    auto_hint: bool = True
    parameters: Mapping[str, float] = field(default_factory=dict)
    extractor: str = ""
    text: str = ""
    mask: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class MadeHint:
    """A finished hint.

    Attributes:
        pixels: UINT8 [height, width, 3]; with a fourth channel, the mask, for kinds that read one.
        extractor: name of the extractor that made it; "" for a ready one.
        annotator: name of the annotator that found it; "" for none.
        notes: notes for the caller, English sentences.
    """

    pixels: Pixels
    extractor: str = ""
    annotator: str = ""
    notes: tuple[str, ...] = ()


def find_control(kind: str, field: str = "kind") -> ControlType:
    """The control type `kind`. Raises InvalidInput on `field`, naming the known kinds."""
    control = CONTROLS.get(kind)
    if control is None:
        question = did_you_mean(kind, CONTROLS)
        raise InvalidInput(f"control {kind!r} is unknown{question or ';'} known: {', '.join(CONTROLS)}", field=field)
    return control


async def make_hint(
    wish: Wish,
    size: tuple[int, int],
    annotators: Annotators,
    at: str = "control",
    *,
    shared_mask: Pixels | None = None,
    decoding: Decoding | None = None,
) -> MadeHint:
    """Make one hint. Pictures are decoded where `decoding` says, other heavy work is done in threads.

    Args:
        wish: the request.
        size: (width, height) of the hint in pixels.
        annotators: the loaded ones.
        at: path of the control in the request, for errors.
        shared_mask: the request's mask, UINT8 [height, width], for controls that need a mask and have none.
        decoding: decodes pictures; None: in threads of this process.

    Raises:
        InvalidInput: an unknown kind, extractor or parameter, a broken picture, a kind without an available extractor,
            a missing mask, or a mask for a kind that doesn't use one.
        MeshError: the model server fails.
    """
    control = find_control(wish.kind, f"{at}.kind")
    extractor = _extractor(control, wish, annotators, at) if wish.auto_hint or wish.text else None
    settled = _settled(control, extractor, wish, at)
    decoding = decoding or Threads()
    try:
        marked, mask_notes = await _settled_mask(control, wish.mask, shared_mask, size, at, decoding)
        made = await _made(control, extractor, settled, wish, size, annotators, at, decoding)
    except MeshError as error:
        if error.field and not error.field.startswith(f"{at}."):
            error.field = f"{at}.{error.field}"
        raise
    if marked is None:
        return made
    notes = (*made.notes, *mask_notes)
    return MadeHint(mark(made.pixels, marked), made.extractor, made.annotator, notes)


async def _made(
    control: ControlType,
    extractor: Extractor | None,
    settled: Mapping[str, float],
    wish: Wish,
    size: tuple[int, int],
    annotators: Annotators,
    at: str,
    decoding: Decoding,
) -> MadeHint:
    if isinstance(extractor, Written):
        return MadeHint(await asyncio.to_thread(extractor.write, wish.text, size, settled), extractor.name)
    as_ready = extractor is None or (isinstance(extractor, Algorithm) and extractor.as_ready)
    name = f"{at}.image"
    picture, traits = await decoding.run(
        fitted,
        wish.content,
        name,
        size,
        control.ready.fit if as_ready else fit_source,
        field=name,
        # A picture to extract from is a picture; a hint has the ground of its kind.
        ground=control.ready.ground if as_ready else Ground.WHITE,
    )
    notes: tuple[str, ...] = ()
    if isinstance(extractor, Algorithm):
        made = MadeHint(await asyncio.to_thread(extractor.extract, picture, settled), extractor.name)
        if extractor.stand_in:
            notes = (f"made by the stand-in {extractor.name!r}, a crude substitute: {extractor.description}",)
    elif isinstance(extractor, Learned):
        pixels = await extractor.annotate(picture, settled, annotators)
        card = annotators.card(extractor.heads[0])
        made = MadeHint(pixels, extractor.name, card.name if card else "")
    else:
        pixels, notes = await asyncio.to_thread(control.ready.put_right, control.kind, picture)
        made = MadeHint(np.ascontiguousarray(pixels))
        if said := on_ready(control, picture, traits):
            # A map that is as good as black need not also be called empty, or unlike a drawing.
            return replace(made, notes=tuple(f"{at}: {note}" for note in said))
    notes = (*notes, *on_hint(control, made.pixels))
    return replace(made, notes=tuple(f"{at}: {note}" for note in notes))


def _extractor(control: ControlType, wish: Wish, annotators: Annotators, at: str) -> Extractor:
    known = {extractor.name: extractor for extractor in control.extractors}
    if wish.text:
        return _writer(control, wish, at)
    if not wish.extractor:
        usual = control.usual(annotators)
        if usual is None:
            raise InvalidInput(
                f"{control.kind} can't be extracted from a picture here: {control.how_to_get(annotators)}",
                field=f"{at}.auto_hint",
            )
        return usual
    named = known.get(wish.extractor)
    if named is None:
        raise InvalidInput(
            f"control {control.kind!r} has no extractor {wish.extractor!r}"
            f"{did_you_mean(wish.extractor, known) or ';'} it has: {', '.join(known) or 'none'}",
            field=f"{at}.extractor",
        )
    if isinstance(named, Written):
        raise InvalidInput(f"extractor {named.name!r} makes the hint from text: send text", field=f"{at}.text")
    if missing := named.missing(annotators):
        raise InvalidInput(f"extractor {named.name!r} is not available here: {missing}", field=f"{at}.extractor")
    return named


def _writer(control: ControlType, wish: Wish, at: str) -> Extractor:
    writers = [extractor for extractor in control.extractors if isinstance(extractor, Written)]
    if not writers:
        able = ", ".join(c.kind for c in CONTROLS.values() if any(isinstance(e, Written) for e in c.extractors))
        raise InvalidInput(
            f"{control.kind} can't be made from text: send a picture; kinds made from text: {able or 'none'}",
            field=f"{at}.text",
        )
    if wish.content:
        raise InvalidInput("send either text or a picture, not both", field=f"{at}.text")
    if len(wish.text) > HINT_CHARACTERS:
        raise InvalidInput(
            f"text has {len(wish.text)} characters; at most {HINT_CHARACTERS} are allowed", field=f"{at}.text"
        )
    for writer in writers:
        if wish.extractor in ("", writer.name):
            return writer
    raise InvalidInput(
        f"extractor {wish.extractor!r} does not use text; {writers[0].name!r} does", field=f"{at}.extractor"
    )


def _settled(control: ControlType, extractor: Extractor | None, wish: Wish, at: str) -> dict[str, float]:
    if extractor is not None:
        return extractor.settle(control.kind, wish.parameters, f"{at}.parameters")
    # A ready hint uses no parameters, but a client that switches auto_hint off may still send them.
    allowed = {p.name for one in control.extractors for p in one.parameters}
    for name in wish.parameters:
        if name not in allowed:
            takes = ", ".join(sorted(allowed)) or "none"
            raise InvalidInput(
                f"control {control.kind!r} has no parameter {name!r}; it has: {takes}",
                field=f"{at}.parameters.{name}",
            )
    return {}


async def _settled_mask(
    control: ControlType, own: bytes | None, shared: Pixels | None, size: tuple[int, int], at: str, decoding: Decoding
) -> tuple[Pixels | None, tuple[str, ...]]:
    """The mask for the hint, if the kind reads one, with notes on one of its own."""
    field = f"{at}.mask"
    if not control.reads_mask:
        if own is not None:
            readers = ", ".join(other.kind for other in CONTROLS.values() if other.reads_mask)
            raise InvalidInput(
                f"control {control.kind!r} does not use a mask: remove it; kinds that use one: {readers}", field=field
            )
        return None, ()
    if own is not None:
        mask = await decoding.run(fitted_mask, own, field, size, field=field)
        return mask.pixels, tuple(f"{at}: {note}" for note in on_mask(mask))
    if shared is None:
        raise InvalidInput(
            f"{control.kind} needs a mask: send one, white where the picture is to be repainted", field=field
        )
    return shared, ()
