"""The order of a run that several processes share speaks of files that are there."""

from tests.rigs.mesh import ROOT
from tests.rigs.schedule import LONGEST_FIRST, MESH, ON_THE_MESH, piece


def test_every_file_of_the_order_is_there() -> None:
    named = {*ON_THE_MESH, *LONGEST_FIRST} - {MESH}
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_what_asks_the_mesh_is_one_piece_and_every_other_file_its_own() -> None:
    assert piece("tests/e2e/test_e2e_pairs.py::test_a[x::y]") == piece(f"{ON_THE_MESH[0]}::test_b") == MESH
    assert piece("tests/unit/test_schedule.py::test_a[x::y]") == "tests/unit/test_schedule.py"
