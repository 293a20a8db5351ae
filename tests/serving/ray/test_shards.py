"""Actors of a real Ray hold shards, and answer as the whole bundle does, to the bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.data.mentions import Mention
from mmkg_sdk.errors import BackendError, BundleError, QueryError
from mmkg_sdk.evaluation.link_prediction import evaluate_bundle
from mmkg_sdk.serving import ShardedLinker, ShardedModel, load_sharded
from mmkg_sdk.serving.ray import RayShards

Sharded = Callable[..., Path]


def on_ray(front: Any) -> RayShards:
    return RayShards(front, threads=1, options=lambda number: {"num_cpus": 0.1})


def test_a_model_on_actors_is_the_whole_one(ray: Any, sharded: Sharded, bundles: Sharded) -> None:
    for ties in (False, True):
        with (
            mmkg_sdk.Model.load(bundles("mygo", ties), threads=1) as whole,
            ShardedModel.load(sharded("mygo", 2, ties), threads=1, shards=on_ray) as parts,
        ):
            for known in (True, False):
                asked = [model.predict_tails(range(9), 1, 6, filter_known=known) for model in (whole, parts)]
                assert asked[0].to_json() == asked[1].to_json()
            ranks = [evaluate_bundle(model, "train", None).ranks["published"] for model in (whole, parts)]
            np.testing.assert_array_equal(*ranks)
            with pytest.raises(QueryError, match="unknown entity"):
                parts.predict_tails("nobody", 0)
            with pytest.raises(BackendError, match="cannot be sent to another process"):
                parts.__reduce__()


def test_a_linker_on_actors_is_the_whole_one(ray: Any, sharded: Sharded, bundles: Sharded) -> None:
    mentions = [Mention("Jordan", "Jordan is a river."), Mention("Georgia", "Wine.")]
    with (
        mmkg_sdk.Linker.load(bundles("mimic"), threads=1) as whole,
        ShardedLinker.load(sharded("mimic", 2), threads=1, shards=on_ray) as parts,
    ):
        links = [linker.link_mentions(mentions, 5, explain=True).to_json() for linker in (whole, parts)]
        assert links[0] == links[1]
        ranks = [linker.rank_mentions(mentions, np.array([6, 0])) for linker in (whole, parts)]
        np.testing.assert_array_equal(*ranks)


def test_what_goes_wrong_in_an_actor_is_said_here(ray: Any, sharded: Sharded, tmp_path: Path) -> None:
    shutil.copytree(sharded("mygo", 2), tmp_path / "sharded")
    shutil.rmtree(tmp_path / "sharded" / "shard-1")
    with pytest.raises((BackendError, BundleError), match="shard-1: No such file"):
        load_sharded(tmp_path / "sharded", shards=on_ray)
    parts = load_sharded(sharded("mygo", 2), threads=1, shards=on_ray)
    assert isinstance(parts, ShardedModel)
    shards = parts._shards
    assert isinstance(shards, RayShards)
    ray.kill(shards._actors[1])
    with pytest.raises(BackendError, match="the actor of a shard has ended"):
        parts.predict_tails(range(9), 0)
    parts.close()
    with pytest.raises(BackendError, match="closed"):
        parts.predict_tails(0, 0)
