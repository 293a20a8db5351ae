"""The proof of a VQ model's graph: every code is the model's, or as near as rounding can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmkg_sdk.errors import ExportError
from mmkg_sdk.modalities.model_image_tokens import UNDECIDED
from tests.data.tokens.test_images import save_model

torch = pytest.importorskip("torch", reason="VQ models need torch")
transformers = pytest.importorskip("transformers", reason="VQ models need transformers")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("chameleon")
    save_model("chameleon", folder)
    return transformers.models.chameleon.modeling_chameleon.ChameleonVQVAE.from_pretrained(folder).eval()


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(1).normal(size=(1, 3, 32, 32)).astype(np.float32)


def codes_of(network: Any, pixels: Any) -> list[int]:
    with torch.inference_mode():
        return network.encode(torch.from_numpy(pixels)).image_tokens.flatten().tolist()


def test_the_codes_of_the_model_pass_and_any_other_does_not(network: Any, pixels: Any) -> None:
    from mmkg_sdk.data.tokens.vq_graphs import CodeProof

    proof, codes = CodeProof(network), codes_of(network, pixels)
    proof.check(pixels, codes)
    with pytest.raises(ExportError, match=r"code \d+ at place 7, the model \d+, and they are no tie: 1 of 256"):
        proof.check(pixels, [*codes[:7], (codes[7] + 1) % 16, *codes[8:]])
    with pytest.raises(ExportError, match="gives 255 codes, the model 256"):
        proof.check(pixels, codes[1:])


def test_a_code_that_is_as_near_passes(network: Any, pixels: Any) -> None:
    """Of two codes that are equally near, neither is decided."""
    from mmkg_sdk.data.tokens.vq_graphs import CodeProof

    codes = codes_of(network, pixels)
    twin = next(code for code in range(16) if code not in codes)
    proof = CodeProof(network)
    np.testing.assert_array_equal(proof.codes(pixels), codes)
    with torch.no_grad():
        weight = proof._network.quantize.embedding.weight
        weight[twin] = weight[codes[0]] * (1 + 1e-7)
    proof.check(pixels, [twin, *codes[1:]])
    np.testing.assert_array_equal(proof.codes(pixels), np.where(np.array(codes) == codes[0], UNDECIDED, codes))
