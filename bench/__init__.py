"""Benchmark: entities per second against token count, query latency, and the conditions they were measured under.

Contenders run one after the other, each in a process of its own, in turn at every point, so that what else happens on
the machine meets all of them alike. Beside every time stands how far its vectors are from those of the plain graph.
"""

from .environment import environment
from .inputs import random_entities
from .report import BenchReport, Row
from .sweep import run_benchmark

__all__ = ["BenchReport", "Row", "environment", "random_entities", "run_benchmark"]
