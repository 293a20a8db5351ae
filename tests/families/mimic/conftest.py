"""A random model of the small world, as a run and as a bundle; made once, never to be changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.export import export_bundle
from mmkg_sdk.run import Run
from tests.families.mimic.small import random_run, world


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> LinkingData:
    return world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def small_run(small_world: LinkingData, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return random_run(tmp_path_factory.mktemp("small") / "run", small_world)


@pytest.fixture(scope="session")
def small_bundle(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "bundle"
    export_bundle(small_run, folder, precision="fp16")
    return folder
