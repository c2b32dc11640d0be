"""What a model is made for: a file of its source, options, and what is refused in either."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.errors import SourceRefused
from export.families import few_steps
from export.made_for import FILE, MadeFor, Wished, made_for
from export.source import DEMO_WEIGHTS
from families.defaults import Defaults


def test_the_demo_says_what_it_is_made_for() -> None:
    made = made_for(DEMO_WEIGHTS, Wished())
    assert made.defaults == Defaults(size=(128, 128), steps=20, guidance_scale=3.0, scheduler="UniPCMultistepScheduler")
    assert made.trained_sizes == ((128, 128),)


def test_a_source_that_says_nothing_leaves_all_to_the_mesh(tmp_path: Path) -> None:
    assert made_for(tmp_path, Wished()) == MadeFor()


def test_options_take_the_place_of_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"steps": 30, "guidance_scale": 5, "trained_sizes": [[512, 512]]}))
    made = made_for(tmp_path, Wished(size="512x768", steps=8, trained_sizes=("768",)))
    assert made == MadeFor(Defaults(size=(512, 768), steps=8, guidance_scale=5.0), ((768, 768),))


@pytest.mark.parametrize(
    "content",
    [
        {"steps": 0},
        {"steps": "20"},
        {"steps": True},
        {"steps": 20.5},
        {"guidance_scale": 1000},
        {"guidance_scale": [3]},
        {"size": 512},
        {"size": [512]},
        {"size": [513, 512]},
        {"size": [0, 0]},
        {"trained_sizes": [[4096, 4096]]},
        {"trained_sizes": "512"},
        {"scheduler": "Euler a\u001b[31m"},
        {"scheduler": 7},
        {"cfg": 7.5},
        {"size\n": [512, 512]},
    ],
)
def test_what_is_no_default_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(SourceRefused):
        made_for(tmp_path, Wished())


@pytest.mark.parametrize("size", ["0", "512x", "x512", "512X512", "-512", "512x512x512", "513", "5120", "1e3", "५१२"])
def test_what_is_no_size_is_refused(tmp_path: Path, size: str) -> None:
    for wished in (Wished(size=size), Wished(trained_sizes=(size,))):
        with pytest.raises(SourceRefused):
            made_for(tmp_path, wished)


@pytest.mark.parametrize(
    ("scheduler", "network", "expected"),
    [
        # The files of SDXL Turbo and of a folder with Lightning's UNet, as published.
        ({"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"}, {}, (4, 1.0)),
        (
            {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing", "prediction_type": "epsilon"},
            {},
            (4, 1.0),
        ),
        ({"_class_name": "LCMScheduler", "timestep_spacing": "leading"}, {}, (4, 1.0)),
        ({"_class_name": "LCMScheduler"}, {"time_cond_proj_dim": 256}, (4, 8.0)),
        # SDXL's own, SD1.5's own, and a checkpoint of zero terminal SNR.
        ({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"}, {}, (None, None)),
        ({"_class_name": "PNDMScheduler"}, {"time_cond_proj_dim": None}, (None, None)),
        ({"_class_name": "UniPCMultistepScheduler", "timestep_spacing": "trailing"}, {}, (None, None)),
        (
            {"_class_name": "DDIMScheduler", "timestep_spacing": "trailing", "prediction_type": "v_prediction"},
            {},
            (None, None),
        ),
        (
            {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True},
            {},
            (None, None),
        ),
    ],
)
def test_models_of_few_steps_are_told_by_their_scheduler(
    scheduler: dict[str, Any], network: dict[str, Any], expected: tuple[int | None, float | None]
) -> None:
    found = few_steps.suited(scheduler, network)
    assert (found.steps, found.guidance_scale) == expected


def test_what_the_configurations_show_counts_least(tmp_path: Path) -> None:
    turbo = Defaults(steps=4, guidance_scale=1.0)
    assert made_for(None, Wished(), turbo).defaults == turbo
    (tmp_path / FILE).write_text(json.dumps({"steps": 2}))
    assert made_for(tmp_path, Wished(guidance=2.0), turbo).defaults == Defaults(steps=2, guidance_scale=2.0)
