"""Benchmark: entities per second against token count, how fast questions are answered (one by one, in lists, arriving
at random moments, in a fresh process), and the conditions all that was measured under.

Contenders run one after the other, each in a process of its own, in turn at every point, so that what else happens on
the machine meets all of them alike. Beside every time stands how far its vectors are from those of the plain graph.
"""

from .gpu.run import run_gpu_benchmark
from .machine.environment import environment
from .quality.compare import QualityComparison, compare_results
from .report.compare import Comparison, compare_reports
from .report.results import BenchReport, Row, read_report
from .report.tables import report_table
from .sweep.counts import random_entities
from .sweep.run import run_benchmark

__all__ = [
    "BenchReport",
    "Comparison",
    "QualityComparison",
    "Row",
    "compare_reports",
    "compare_results",
    "environment",
    "random_entities",
    "read_report",
    "report_table",
    "run_benchmark",
    "run_gpu_benchmark",
]
