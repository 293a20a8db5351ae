"""One scan, many callers: threads, forked children, and tables that go away."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmkg_sdk.kernels import Scan, instruction_sets
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import InnerProduct

# Enough work that three threads share it.
ROWS, WIDTH, BATCH = 6000, 64, 40


def scan_and_queries(seed: int = 0) -> tuple[Scan, np.ndarray]:
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    return Scan(table, InnerProduct(), 3), rng.standard_normal((BATCH, WIDTH)).astype(np.float32)


def test_calls_from_several_threads_at_once_give_the_answers_of_one() -> None:
    scan, queries = scan_and_queries()
    nothing = AnswerLists(np.zeros(BATCH + 1, np.int64), np.empty(0, np.int64))
    targets, protocol = np.arange(BATCH), RankingProtocol("floor")
    expected, ranks = scan.top_k(queries, 20), scan.ranks(queries, targets, nothing, protocol)

    def ask(i: int) -> bool:
        if i % 2:
            return bool((scan.ranks(queries, targets, nothing, protocol).published == ranks.published).all())
        found = scan.top_k(queries, 20)
        return bool((found.ids == expected.ids).all() and (found.scores == expected.scores).all())

    with ThreadPoolExecutor(6) as callers:
        assert all(callers.map(ask, range(60)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    scan, queries = scan_and_queries(1)
    expected = scan.top_k(queries, 10)  # the threads are there before the fork
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    children = [fork.Process(target=lambda: answers.put(scan.top_k(queries, 10).ids)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
        assert child.exitcode == 0
        np.testing.assert_array_equal(answers.get(), expected.ids)
    np.testing.assert_array_equal(scan.top_k(queries, 10).ids, expected.ids)


def test_the_table_lives_as_long_as_its_scan() -> None:
    scan, queries = scan_and_queries(2)
    expected = scan.top_k(queries, 5)
    gc.collect()
    junk = [np.ones((ROWS, WIDTH), np.float32) for _ in range(3)]
    np.testing.assert_array_equal(scan.top_k(queries, 5).ids, expected.ids)
    del junk, scan
    gc.collect()


def test_the_environment_chooses_the_instruction_set() -> None:
    code = (
        "import numpy as np; from mmkg_sdk.kernels import Scan; from mmkg_sdk.ranking.scores import InnerProduct\n"
        "print(Scan(np.ones((1, 1), np.float32), InnerProduct()).instruction_set)"
    )
    for name in (*instruction_sets(), "mmx"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"MMKG_INSTRUCTION_SET": name},
            capture_output=True,
            text=True,
            check=False,
        )
        if name == "mmx":
            assert "MMKG_INSTRUCTION_SET names none" in done.stderr
        else:
            assert done.stdout.strip() == name


def test_an_idle_pool_uses_no_processor_time() -> None:
    scan, queries = scan_and_queries(3)
    scan.top_k(queries, 5)
    import time

    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.05
