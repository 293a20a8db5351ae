"""mmkg-sdk env."""

from __future__ import annotations

import json

from mmkg_sdk.kernels import instruction_sets

from .running import mmkg


def test_env_prints_json() -> None:
    found = json.loads(mmkg("env", "--json").stdout)
    assert "mmkg_sdk" in json.dumps(found)
    assert found["kernels"] == ", ".join(instruction_sets()) or found["kernels"].startswith("numpy and graphs (")
