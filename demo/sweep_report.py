"""Write the page and the plot of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from demo.adherence import Adherence
from demo.evaluate import Settings
from demo.sweep import ENDS, GUESSES, KIND, WEIGHTS, Point

Measured = dict[Point, Adherence]

PAGE, PLOT = "control_strength.md", "control_strength.svg"
#: Adherence field -> heading. The hint determines the edges, the prompt the rest.
COLUMNS = {"edge_f1": "edge F1", "in_mask": "colour in its mask", "ground": "ground colour", "shape_one": "one object"}
#: What a plot shows of these.
LINES = {"edge_f1": "edge F1 (hint)", "in_mask": "colour in its mask (hint and prompt)"}


def write(folder: Path, measured: Measured, settings: Settings) -> None:
    """Write the page and its plot into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _plot(folder / PLOT, measured)
    (folder / PAGE).write_text(page(measured, settings), encoding="utf-8")


def page(measured: Measured, settings: Settings) -> str:
    """Markdown: how it was measured, the plot, a table for each of the three."""
    count = next(iter(measured.values())).pictures
    parts = [
        "# What weight, end and guess mode do",
        f"{count} prompts on plain and gradient grounds that were not used in training, one {KIND} hint each, the same "
        f"prompts, hints and seeds in every row: {settings.size} x {settings.size} pixels, {settings.steps} steps of "
        f"{settings.scheduler}, guidance {settings.guidance:g}, requested from a running mesh over HTTP. Written by "
        "`python -m demo sweep`; the columns are those of [adherence.md](adherence.md). Edge F1 is how well the "
        "picture's edges agree with the hint's; colours are only in the prompt.",
        f"![Edge F1 and colour against weight and end]({PLOT})",
        "## Weight\n\n0 is no control, 1 the scale at which the ControlNet was trained.",
        _table("weight", WEIGHTS, [f"{p.weight:g}" for p in WEIGHTS], measured),
        "## End\n\nThe control works in the first part of the steps, up to this fraction of them. Outlines are settled "
        "early, so a control that ends early leaves the rest to the prompt.",
        _table("end", ENDS, [f"{p.end:g}" for p in ENDS], measured),
        "## Guess mode\n\nIn guess mode the control acts on the conditional prediction only, with a tenth of its "
        "weight in the UNet's first layers and all of it in the middle, and the prompt may be empty. This small model "
        "gets colours only from the prompt, so without one they are arbitrary.",
        _table("prompt, guess mode", GUESSES, [_guess(p) for p in GUESSES], measured),
    ]
    return "\n\n".join(parts) + "\n"


def _guess(point: Point) -> str:
    return f"{'prompt' if point.prompted else 'empty prompt'}, {'on' if point.guess_mode else 'off'}"


def _table(head: str, points: Sequence[Point], names: Sequence[str], measured: Measured) -> str:
    rows = [
        [name, *(_cell(column, getattr(measured[point], column)) for column in COLUMNS)]
        for name, point in zip(names, points, strict=True)
    ]
    lines = [[head, *COLUMNS.values()], ["---"] * (len(COLUMNS) + 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(column: str, value: float) -> str:
    return f"{value:.3f}" if column == "edge_f1" else f"{100 * value:.1f} %"


def _plot(path: Path, measured: Measured) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    # Generated names and dates would change the file with every run.
    with matplotlib.rc_context({"svg.hashsalt": PLOT, "font.size": 9}):
        figure, axes = pyplot.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
        for axis, name, points in zip(axes, ("weight", "end"), (WEIGHTS, ENDS), strict=True):
            for column, label in LINES.items():
                places = [getattr(point, name) for point in points]
                axis.plot(places, [getattr(measured[p], column) for p in points], marker="o", label=label)
            axis.set(xlabel=name, ylim=(0, 1.05))
            axis.grid(alpha=0.3)
        axes[1].legend(loc="lower right")
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
