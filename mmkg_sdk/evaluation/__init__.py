"""Evaluation by the published protocols."""

from .link_prediction import LinkPredictionReport, evaluate_link_prediction

__all__ = ["LinkPredictionReport", "evaluate_link_prediction"]
