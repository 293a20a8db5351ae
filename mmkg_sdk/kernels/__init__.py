"""Compiled kernels for the CPU, behind the C functions of include/: exact ranking of a table of vectors (Scan),
encoding of entities from token tables (TokenTableEncoder), the two halves of a query vector, the transformer
(QueryContext) and the Tucker product (TuckerCore), or an entity rotated by a relation (Rotations), and scores of
mentions and entities (LateInteraction).

Ranking: bound first, settle exactly. The score of a query and a row has one definition, to the bit: 16 partial sums and
a fixed tree (include/mmkg.h). A first pass goes over tiles of rows and queries in whatever order and precision is fast,
and has a proven error bound; only rows that it cannot rule out get their canonical score. So the answer depends on
nothing but query vectors and table: not on threads, tiles or processors, and no answer is merely probable. Where the
processor has products of 8 bits or bfloat16, the first pass of top-k reads a copy of the table in them
(`Scan(storage=...)`).

Rotations round each product and each sum once, which gives the same bits on every processor. The other kernels add up
multiply-adds, in one order whatever the threads and the instruction set. Every processor that rounds a multiply-add
once gives the same bits: x86-64 with AVX2 or AVX-512, and ARM64. The plain code for x86-64 ("portable") rounds it
twice, since it may not count on the instruction: its vectors differ by rounding, so near-equal candidates may change
places.

gpu/ has the same for NVIDIA GPUs, on which it has not run yet.

Without a compiler at install time there is no library: `table_ranking.TableRanking` answers in numpy, and the backend
runs the graphs.
"""

from __future__ import annotations

from .interaction import LateInteraction
from .library import instruction_sets, library
from .query_context import QueryContext
from .rotation import Rotations
from .scan import Scan, TopKReport
from .threads import default_threads
from .token_table import TokenTableEncoder
from .tucker import TuckerCore

__all__ = [
    "LateInteraction",
    "QueryContext",
    "Rotations",
    "Scan",
    "TokenTableEncoder",
    "TopKReport",
    "TuckerCore",
    "default_threads",
    "instruction_sets",
    "library",
]
