"""OneCall: from ids to answers in one call of the compiled library, where query vectors and ranking are its own."""

from __future__ import annotations

from ..backends.tables import HostRanking, TableRanking
from ..families.runtimes import QueryStandIn
from ..kernels import AnswerCall, Scan


class OneCall:
    """Finds the call for a table, which it keeps until the table is replaced.

    Args:
        query: what stands in for the query graph; None: nothing does.
    """

    def __init__(self, query: QueryStandIn | None) -> None:
        self._query = query
        self._kept: tuple[TableRanking | None, AnswerCall | None] = None, None

    def of(self, ranking: TableRanking) -> AnswerCall | None:
        """The call; None where a graph makes query vectors, or where something else than one scan ranks.

        Raises:
            BackendError: the weights of the stand-in, which are read with the first query, do not fit.
        """
        kept, call = self._kept  # together, whatever other threads do
        if call is None or kept is not ranking:
            call = self._made(ranking)
            # A table without a call is not held: the memory of one on a GPU goes when it is replaced.
            self._kept = (None, None) if call is None else (ranking, call)
        return call

    def _made(self, ranking: TableRanking) -> AnswerCall | None:
        if self._query is None or not isinstance(ranking, HostRanking) or not isinstance(ranking.kernels, Scan):
            return None
        kernels = self._query.on_cpu()
        return None if kernels is None else AnswerCall(kernels, ranking.kernels)
