"""Codes of pictures by a graph, here one that names the brightest channel of every pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.modalities.model_image_tokens import UNDECIDED, ModelImageTokenizer, judged_pixels

onnx = pytest.importorskip("onnx", reason="the graph of the test is made with onnx")
images = pytest.importorskip("PIL.Image", reason="images need pillow")
pytest.importorskip("onnxruntime", reason="graphs need onnxruntime")

SIDE = 4


def brightest(side: int = SIDE, given: str = "pixels", channels: int = 3) -> Any:
    """The ONNX model."""
    helper, kinds = onnx.helper, onnx.TensorProto
    return helper.make_model(
        helper.make_graph(
            [
                helper.make_node("ArgMax", [given], ["channel"], axis=1, keepdims=0),
                helper.make_node("Reshape", ["channel", "flat"], ["codes"]),
            ],
            "brightest",
            [helper.make_tensor_value_info(given, kinds.FLOAT, [1, channels, side, side])],
            [helper.make_tensor_value_info("codes", kinds.INT64, [side * side])],
            [onnx.numpy_helper.from_array(np.array([-1]), "flat")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def parts(model: Any = None, **changed: Any) -> dict[str, Any]:
    """What is stored of the tokenizer, with some of it changed."""
    graph = np.frombuffer((brightest() if model is None else model).SerializeToString(), np.uint8)
    mean, deviation = np.zeros(3, np.float32), np.ones(3, np.float32)
    numbers = {"mean": mean, "deviation": deviation, "num_codes": np.array([3])}
    return {"graph": graph, **numbers, "judged": np.full((2, SIDE * SIDE), UNDECIDED)} | changed


def picture() -> Any:
    """Red on the left, blue on the right."""
    values = np.zeros((SIDE, SIDE, 3), np.uint8)
    values[:, :2, 0], values[:, 2:, 2] = 200, 100
    return images.fromarray(values)


def test_a_picture_has_the_codes_of_the_graph() -> None:
    reader = ModelImageTokenizer.of_parts(parts())
    assert reader.tokens(picture()) == [0, 0, 2, 2] * 4
    again = ModelImageTokenizer.of_parts(reader.parts())
    assert again.tokens(picture().resize((8, 8), images.Resampling.NEAREST)) == [0, 0, 2, 2] * 4
    assert (again.size, again.place(0)) == (3, None)


def test_pixels_are_less_their_mean_by_their_deviation() -> None:
    changes = {"mean": np.array([0.5, 0, 0.25], np.float32), "deviation": np.array([0.5, 1, 2], np.float32)}
    reader = ModelImageTokenizer.of_parts(parts(**changes))
    np.testing.assert_allclose(
        reader.pixels(picture())[0, :, 0],
        [[0.5686, 0.5686, -1, -1], [0] * 4, [-0.125, -0.125, 0.0711, 0.0711]],
        atol=1e-4,
    )
    assert reader.tokens(picture()) == [0, 0, 2, 2] * 4


def test_codes_that_the_codebook_does_not_have_are_refused() -> None:
    with pytest.raises(BackendError, match="gave codes 0 to 2; there are 2"):
        ModelImageTokenizer.of_parts(parts(num_codes=np.array([2]))).tokens(picture())


def test_a_graph_is_judged_by_the_codes_that_are_decided() -> None:
    pictures = judged_pixels(SIDE, np.zeros(3, np.float32), np.ones(3, np.float32))
    judged = np.concatenate([pixels.argmax(axis=1).reshape(1, -1) for pixels in pictures])
    assert len(np.unique(judged)) == 3
    assert ModelImageTokenizer.of_parts(parts(judged=judged)).share_wrong() == 0
    assert ModelImageTokenizer.of_parts(parts()).share_wrong() == 0
    judged[0, :4], judged[1, 3] = UNDECIDED, (judged[1, 3] + 1) % 3
    assert ModelImageTokenizer.of_parts(parts(judged=judged)).share_wrong() == 1 / 28


def outside() -> Any:
    """A graph whose constant lies in another file."""
    model = brightest()
    (flat,) = model.graph.initializer
    flat.ClearField("raw_data")
    flat.data_location = onnx.TensorProto.EXTERNAL
    flat.external_data.add(key="location", value="../secret")
    return model


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: parts(outside()), "weights from another file"),
        (lambda: parts(brightest(given="image")), "something else than pixels"),
        (lambda: parts(brightest(channels=4)), "something else than pixels"),
        (lambda: parts(brightest(side=4096)), "something else than pixels"),
        (lambda: parts(graph=np.zeros(9, np.uint8)), "."),
        (lambda: parts(graph=np.zeros(0, np.uint8)), "."),
        (lambda: parts(graph=np.zeros((2, 2), np.uint8)), "num_codes"),
        (lambda: parts(deviation=np.zeros(3, np.float32)), "deviation"),
        (lambda: parts(mean=np.full(3, np.nan, np.float32)), "mean"),
        (lambda: parts(mean=np.zeros(4, np.float32)), "mean"),
        (lambda: parts(num_codes=np.array([0])), "num_codes"),
        (lambda: parts(num_codes=np.array([3, 3])), "num_codes"),
        (lambda: parts(num_codes=np.array([3.0])), "other types"),
        (lambda: parts(judged=np.zeros((2, 15), np.int64)), r"judged \[2, 15\]; expected the codes of 2 pictures"),
        (lambda: parts(judged=np.zeros((2, 16), np.float32)), "other types"),
        (lambda: parts(more=np.array([3])), "other types"),
    ],
)
def test_what_is_no_such_graph_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelImageTokenizer.of_parts(given())
