"""Compiled kernels for the CPU, behind the C functions of include/: exact ranking of a table of vectors (Scan),
encoding of entities from token tables (TokenTableEncoder), and scores of mentions and entities (LateInteraction).

Ranking: bound first, settle exactly. The score of a query and a row has one definition, to the bit: 16 partial sums and
a fixed tree (include/mmkg.h). A first pass goes over tiles of rows and queries in whatever order and precision is fast,
and has a proven error bound; only rows that it cannot rule out get their canonical score. So the answer depends on
nothing but the input: not on threads, tiles or instruction sets, and no answer is merely probable.

Without a compiler at install time there is no library: `table_ranking.TableRanking` answers in numpy, and the backend
encodes entities and scores pairs.
"""

from __future__ import annotations

from .interaction import LateInteraction
from .library import instruction_sets, library
from .scan import Scan
from .token_table import TokenTableEncoder

__all__ = ["LateInteraction", "Scan", "TokenTableEncoder", "instruction_sets", "library"]
