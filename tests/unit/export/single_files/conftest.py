"""Tiny models, each in a diffusers folder and in one file."""

import pytest

from tests.rigs import tiny_whole


@pytest.fixture(scope="session")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> tiny_whole.Whole:
    return tiny_whole.shared("sd15", tmp_path_factory)


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> tiny_whole.Whole:
    return tiny_whole.shared("sdxl", tmp_path_factory)
