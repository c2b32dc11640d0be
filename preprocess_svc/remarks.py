"""Notes on masks and hints that say nothing: what a caller would otherwise find out from a spoilt picture."""

import numpy as np

from mesh.pictures import Pixels, Traits
from preprocess_svc.extraction.control import ControlType
from preprocess_svc.fitting import FittedMask

# Shares of all pixels: with less than the one a hint is as good as empty, with more than the other as good as full.
_LEAST, _MOST = 0.001, 0.95
# Grey levels: a mark is so much lighter than its ground, a map without anything lighter is as good as black; a ground
# from the second on is none of a hint of marks, and one from the third on is paper.
_DARK, _GREY, _LIGHT = 32, 96, 192
_HALF = 0.5
# What 16-bit grey is divided by.
_DEEP = 65_535
_CLASSES = 256


def on_mask(mask: FittedMask) -> tuple[str, ...]:
    """Notes on a mask that marks nothing or nearly everything, or whose transparent parts may have been meant."""
    marked = float(np.count_nonzero(mask.pixels)) / mask.pixels.size
    notes = []
    if marked < _LEAST:
        why = f"its brightest value is {mask.brightest} of 255, and white begins at 128"
        if mask.brightest >= 128:
            why = f"only {100 * marked:.2g} % of it are white"
        notes.append(f"the mask marks {'nothing' if not marked else 'nearly nothing'} to repaint: {why}")
    elif marked > _MOST:
        notes.append(
            f"the mask marks {100 * marked:.3g} % of the picture to be repainted; white is repainted, black is kept: "
            "invert it if you meant the rest"
        )
    traits = mask.traits
    if traits.clear and (traits.light < _HALF or marked > _HALF):
        notes.append(
            f"{100 * traits.clear:.3g} % of the mask are transparent and count as black, which is kept; if these parts "
            "are to be repainted, send them as white and the rest as black"
        )
    return tuple(notes)


def on_ready(control: ControlType, hint: Pixels, traits: Traits) -> tuple[str, ...]:
    """Notes on a caller's own hint, UINT8 [h, w, 3], before it is put right: values that can't be a hint's."""
    brightest = int(hint.max())
    if traits.deepest is not None and traits.deepest >> 8 <= _DARK:
        return (
            f"the hint is nearly black: its brightest value is {traits.deepest} of {_DEEP}; stretch its values to the "
            "whole range of 16 bits",
        )
    if brightest <= _DARK:
        more = "; its values may be 0 and 1 or numbers of classes" if brightest > 0 else ""
        return (f"the hint is nearly black: its brightest value is {brightest} of 255{more}",)
    notes = []
    if control.ready.colours and _is_grey(hint):
        notes.append(f"the hint is grey but {control.ready.colours}")
    if control.ready.drawn and float(np.median(hint.min(axis=2))) >= _LIGHT:
        notes.append(f"the hint's ground is light but that of hints for {control.kind} is black: draw it on black")
    return tuple(notes)


def on_hint(control: ControlType, hint: Pixels) -> tuple[str, ...]:
    """Notes on a finished hint, UINT8 [h, w, 3], that is as good as empty, full or flat."""
    if control.ready.marks:
        levels = hint.max(axis=2)
        ground = float(np.median(levels))
        marks = float((levels > _DARK + (ground if ground < _GREY else 0)).mean())
        if marks < _LEAST:
            return (f"the hint is as good as empty: {100 * marks:.2g} % of it are marks, so it steers hardly anything",)
        if (light := float((levels >= _GREY).mean())) > _MOST:
            return (
                f"the hint is as good as full: {100 * light:.3g} % of it are light; hints for {control.kind} are "
                "light marks on a dark ground",
            )
        return ()
    if control.ready.flat_says_nothing and (hint == hint[0, 0]).all():
        return ("the hint is one flat colour, so it steers nothing",)
    return ()


def _is_grey(hint: Pixels) -> bool:
    return bool((hint[..., 0] == hint[..., 1]).all() and (hint[..., 1] == hint[..., 2]).all())
