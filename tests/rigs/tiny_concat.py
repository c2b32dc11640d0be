"""Random models that read more than the latents: SD1.5 and SDXL of 9 channels, FLUX Control and Fill, a thousandth of
the size.

`main` writes and exports all four.
"""

from pathlib import Path

from export.exporter import export
from export.options import Options
from export.source import open_source
from tests.rigs import tiny_flux, tiny_sd15, tiny_sdxl

SD15, SDXL, CANNY, FILL = "tiny-inpaint", "tiny-sdxl-inpaint", "tiny-flux-canny", "tiny-flux-fill"
CONTROL = {CANNY: "canny"}
"""Model -> the kind of the control picture that it reads."""


def make(folder: Path) -> list[Path]:
    """Write the four into folders of their names below `folder`."""
    picture = 4 * tiny_flux.CHANNELS
    return [
        tiny_sd15.make(folder / SD15, kinds=(), in_channels=9, seed=5),
        tiny_sdxl.make(folder / SDXL, in_channels=9, controls=("canny",), seed=6),
        tiny_flux.make(folder / CANNY, depth=(0, 0), extra=picture, seed=7),
        tiny_flux.make(folder / FILL, depth=(0, 0), extra=picture + 4 * 64, seed=8),
    ]


def main(folder: Path, repository: Path) -> None:
    """Write and export them; those that have not changed are not exported again."""
    for source in make(folder):
        opened = open_source(str(source), {}, control=CONTROL.get(source.name))
        export(opened, Options(repository, source.name))
