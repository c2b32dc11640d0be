"""The demo's graphs under OpenVINO in f32: those whose inputs or outputs it renames. All: `make bench-openvino`."""

from benchmarks.accelerated import MOST_F32, compared
from tests.rigs.tiny_graphs import ROOT, TRITON_ENVIRONMENT

RENAMED = ("demo_unet", "annotator_demo")


def test_the_denoiser_and_the_annotator_compute_the_same_in_f32() -> None:
    found = compared(ROOT / "model_repository", TRITON_ENVIRONMENT, RENAMED, ("f32",))
    assert {one.graph for one in found} == set(RENAMED)
    assert all(one.finite for one in found)
    wrong = {(one.graph, one.output): one.share for one in found if not one.whole and one.share > MOST_F32}
    assert not wrong
    # Whole numbers may be rounded, or won by a class, either way.
    assert all(one.differing < 1e-3 for one in found if one.whole)
