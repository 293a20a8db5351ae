"""Which graphs compiled kernels do the work of on this processor.

Kernels stand in wherever a family has some, with every instruction set and at every batch. For one query they are
faster than the graph on ONNX Runtime; where large batches may be slower (a Tucker core of 256 numbers in half
precision, from 32 queries on, with AVX2), they still answer: a query gives the same bits alone and in any batch, which
it would not if the size of the batch chose between two programs. Who wants the graph names the backend.
"""

from __future__ import annotations

from ..errors import BackendError
from ..kernels import instruction_sets, library
from ..kernels.library import best_instruction_set

# Graphs by family. MyGO's entity encoder is stood in for where the model has one layer of it.
STOOD_IN: dict[str, tuple[str, ...]] = {
    "mygo": ("query_encoder", "entity_encoder"),
    "adamf_mat": ("query_encoder",),
    "mimic": ("interaction",),
    "mkgformer": (),
}


def stood_in() -> dict[str, str]:
    """What answers on the CPU where no backend is named, by family, in words; "ranking" is every family's."""
    if isinstance(found := library(), str):
        return dict.fromkeys((*STOOD_IN, "ranking"), f"graphs, and numpy for ranking ({found})")
    try:
        chosen = best_instruction_set()
    except BackendError as err:
        return dict.fromkeys((*STOOD_IN, "ranking"), f"nothing: {err}")
    graphs = {
        family: f"kernels with {chosen} for {' and '.join(names)}, graphs for the rest" if names else "graphs"
        for family, names in STOOD_IN.items()
    }
    return {**graphs, "ranking": f"kernels with {chosen} of {', '.join(instruction_sets())}"}
