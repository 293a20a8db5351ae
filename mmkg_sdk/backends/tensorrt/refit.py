"""The weights of an engine that was kept without them, put into it from the bundle that it was built of.

NEVER RUN ON A GPU, as all that opens engines.
"""

from __future__ import annotations

from ...bundle import Bundle
from ...errors import BackendError
from . import api
from .bindings import Bindings
from .weights import give_weights, parser_errors


def refit(bindings: Bindings, engine: api.ICudaEngine, bundle: Bundle, graph: str) -> None:
    """Put all weights of a graph into its engine.

    Raises:
        BackendError: the library takes not all of them.
    """
    refitter = bindings.trt.Refitter(engine, bindings.logger)
    parser = bindings.trt.OnnxParserRefitter(refitter, bindings.logger)
    if not parser.load_model_proto(bytes(bundle.files[f"{graph}.onnx"])):
        raise BackendError(f"{graph}.onnx is not read by TensorRT: {parser_errors(parser)}")
    kept = give_weights(parser, bundle, graph)
    if not parser.refit_model_proto():
        raise BackendError(f"the weights of {graph} do not go into its engine: {parser_errors(parser)}")
    if missing := refitter.get_missing_weights():
        raise BackendError(f"the engine of {graph} lacks {len(missing)} weights still, {missing[0]!r:.80} for one.")
    if not refitter.refit_cuda_engine():
        raise BackendError(f"the weights of {graph} do not go into its engine: {bindings.words.take()}")
    del kept  # which the library has read by now
