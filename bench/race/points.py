"""Point: what is ranked in a race, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance, InnerProduct

from ..machine.work import Work


@dataclass(frozen=True)
class Point:
    """One task: the k best of `rows` vectors of `width` numbers, for `batch` queries at once."""

    score: Literal["inner-product", "distance"]
    rows: int
    width: int
    batch: int
    k: int
    seed: int = 0

    @property
    def candidate_score(self) -> CandidateScore:
        return InnerProduct() if self.score == "inner-product" else ComplexDistance(0.0)

    @property
    def table(self) -> tuple[Any, ...]:
        """What points have in common whose exact answers are calculated together."""
        return self.score, self.rows, self.width, self.seed

    def work(self, number_bytes: int, arithmetic: str) -> Work:
        """Of one batch: all products, or four operations for each coordinate of a distance (a modulus counts as eight
        with its root); the table read once in the precision that it is kept in."""
        flop = self.batch * self.rows * self.width * (2 if self.score == "inner-product" else 4)
        return Work(flop, self.rows * self.width * number_bytes, arithmetic)
