"""Which process of a run runs which tests: `pytest -n 3` shares two cores best when it knows what is long.

A file stays whole, since its tests share what its fixtures start. All files that ask the one running mesh are one
piece: a second mesh would cost another start and 5 GiB, and a picture that must be the same to the last bit must not
be computed in one batch with another process's. The pieces that take longest begin first, so that none is left alone at
the end.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

MESH = "the running mesh"
ON_THE_MESH = (
    "tests/parity/test_parity_matrix.py",
    "tests/parity/test_parity_parts.py",
    "tests/parity/test_parity_pictures.py",
    "tests/parity/test_parity_sdxl.py",
    "tests/parity/test_parity_flux.py",
    "tests/parity/test_parity_mixed.py",
    "tests/parity/test_parity_concat.py",
    "tests/parity/test_parity_words.py",
    "tests/integration/test_any_request.py",
    "tests/integration/test_inversion.py",
    "tests/e2e/",
)
LONGEST_FIRST = (
    MESH,
    "tests/faults/test_job_deaths.py",
    "tests/faults/test_faults_mesh.py",
    "tests/faults/test_chaos.py",
    "tests/integration/test_export_graphs.py",
    "tests/integration/test_export_single_file.py",
    "tests/integration/test_job_engines.py",
    "tests/unit/demo/test_train.py",
    "tests/integration/test_export_annotator_library.py",
    "tests/integration/test_webhooks.py",
    "tests/faults/test_database_restart.py",
    "tests/integration/test_pairs_on_databases.py",
    "tests/contract/test_pairs.py",
    "tests/contract/enterprise/test_options.py",
    "tests/integration/test_export_control.py",
    "tests/unit/preprocess_svc/test_peak_memory.py",
    "tests/integration/test_job_upkeep.py",
    "tests/contract/enterprise/test_hostile.py",
    "tests/integration/test_model_admin.py",
    "tests/integration/test_export_model.py",
    "tests/integration/test_model_server_lifecycle.py",
    "tests/contract/enterprise/test_polling.py",
    "tests/integration/test_export_annotator.py",
    "tests/contract/scenario/test_hostile.py",
    "tests/parity/test_parity_pose.py",
    "tests/contract/scenario/test_jobs.py",
    "tests/faults/test_stopping.py",
    "tests/integration/test_mesh_triton.py",
    "tests/contract/test_key_secrecy.py",
    "tests/integration/test_two_gateways.py",
    "tests/contract/test_fuzz_api.py",
    "tests/integration/test_demo_annotator_quality.py",
)
"""By what they took; whatever is not here takes less than half a minute."""


def piece(nodeid: str) -> str:
    """What a test is run together with: its file, or all that asks the running mesh."""
    return MESH if nodeid.startswith(ON_THE_MESH) else nodeid.partition("::")[0]


def longest_first(items: list[pytest.Item]) -> None:
    """Sort `items` by their pieces."""
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(piece(item.nodeid), len(ranks)))


def misplaced(items: Iterable[pytest.Item]) -> set[str]:
    """Files that ask the running mesh and are not in ON_THE_MESH."""
    # `tiny_weights` tells the mesh of tests/conftest.py from fixtures of the same name elsewhere.
    asking = (item for item in items if {"mesh", "tiny_weights"} <= set(getattr(item, "fixturenames", ())))
    return {item.nodeid.partition("::")[0] for item in asking if piece(item.nodeid) != MESH}


class Schedule(LoadFileScheduling):
    """xdist's way to hand out whole files, with pieces in place of files, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return piece(nodeid)
