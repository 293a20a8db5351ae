"""What the shell offers: families, presets, settings, data sets."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from mmkg_sdk.cli.group import cli


def offered(*words: str) -> dict[str, str | None]:
    """What is offered for the last word, with its help."""
    *before, begun = words
    found = ShellComplete(cli, {}, "mmkg-sdk", "_MMKG_SDK_COMPLETE").get_completions(before, begun)
    return {item.value: item.help for item in found}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "m"], ["mygo", "mimic", "mkgformer"]),
        (["quickstart", "--family", "a"], ["adamf_mat"]),
        (["train", "mygo", "--preset", ""], ["db15k", "mkg-w", "cpu", "atlas", "emoji"]),
        (["train", "adamf-mat", "--preset", "mkg"], ["mkg-w", "mkg-y"]),
        (["train", "--preset", ""], []),
        (["train", "mimic", "--data", "atlas-"], ["atlas-mentions", "atlas-relations", "atlas-tags"]),
        (["evaluate", "run", "--data", "mkg"], ["mkg-w", "mkg-y"]),
        (["data", "fetch", "mkg"], ["mkg-w", "mkg-y"]),
        (["data", "inspect", "atlas-t"], ["atlas-tags"]),
        (["import", "mygo", "--data", "db"], ["db15k"]),
        (["train", "mygo", "--set", "learning"], ["learning_rate="]),
        (["import", "mygo", "--set", "learning"], []),
        (["import", "mygo", "--set", "num_h"], ["num_heads="]),
        (["predict", "a-bundle", "--in"], ["--input"]),
        (["tag", "a-bundle", "--input", "queries.csv", "--o"], ["--output", "--overwrite"]),
    ],
    ids=" ".join,
)
def test_what_may_follow_is_offered(words: list[str], expected: list[str]) -> None:
    assert list(offered(*words)) == expected


def test_settings_are_offered_with_what_they_mean() -> None:
    assert offered("train", "mygo", "--set", "epo") == {"epochs=": "how often every training triple is seen."}


def test_other_data_are_folders() -> None:
    (item,) = ShellComplete(cli, {}, "mmkg-sdk", "_X").get_completions(["train", "mygo", "--data"], "my-")
    assert (item.value, item.type) == ("my-", "dir")
