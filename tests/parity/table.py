"""docs/parity.md: one section a family, each written by the test that measures it."""

import re
from collections.abc import Iterable
from pathlib import Path

HEAD = """# Pictures against diffusers

Greatest difference of any pixel (mean difference), in 255ths, between the mesh's picture and that of the matching
diffusers pipeline: same weights, seed and settings, fp32, through the whole running mesh.

Written by `make test-parity-full`.
"""
FAMILIES = ("Stable Diffusion 1.5", "SDXL", "FLUX.1", "Models that read more than the latents")


def write_section(target: Path, family: str, lines: Iterable[str]) -> None:
    """Write the section of `family`, one of FAMILIES, in place of the one that is there."""
    found = re.split(r"^## (.+)$", target.read_text("utf-8"), flags=re.MULTILINE) if target.exists() else [""]
    sections = dict(zip(found[1::2], (text.strip() for text in found[2::2]), strict=True))
    sections[family] = "\n".join(lines).strip()
    written = [f"## {name}\n\n{sections[name]}\n" for name in FAMILIES if name in sections]
    target.write_text("\n".join([HEAD, *written]), "utf-8")


def by_case(measured: dict[str, tuple[int, float]], about: str) -> list[str]:
    """The lines of a section with one row a case."""
    rows = [f"| {case} | {most} ({mean:.3f}) |" for case, (most, mean) in measured.items()]
    return [about, "", "| case | difference |", "| --- | --- |", *rows]
