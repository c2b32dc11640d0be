"""What shapes of tensors do not tell: numbers of heads and groups, activations, schedules, as their authors published
them (runwayml/stable-diffusion-v1-5, stabilityai/stable-diffusion-xl-base-1.0)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "published"


@cache
def of(family: str) -> dict[str, Any]:
    """The facts of a row of `export.families.table`: model_index.json as `index`, the scheduler, each part."""
    found: dict[str, Any] = json.loads((FOLDER / f"{family}.json").read_text("utf-8"))
    return found
