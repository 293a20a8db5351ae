"""Names and order of instruction sets, in Python as in the library."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.kernels import Scan, instruction_sets
from mmkg_sdk.kernels.library import instruction_set_name, instruction_set_number, loaded_library
from mmkg_sdk.ranking.scores import InnerProduct


def test_the_library_has_the_same_names() -> None:
    for name in instruction_sets():
        number = instruction_set_number(name)
        assert loaded_library().mmkg_instruction_set_name(number).decode() == instruction_set_name(number) == name
        assert Scan(np.eye(3, dtype=np.float32), InnerProduct(), 1, name).instruction_set == name


@pytest.mark.parametrize("wanted", ["", *instruction_sets()])
def test_the_last_is_the_best_unless_a_variable_names_one(wanted: str) -> None:
    program = (
        "import numpy as np; from mmkg_sdk.kernels import Scan; from mmkg_sdk.ranking.scores import InnerProduct; "
        "print(Scan(np.eye(3, dtype=np.float32), InnerProduct(), 1).instruction_set)"
    )
    environment = {**os.environ, "MMKG_INSTRUCTION_SET": wanted}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == (wanted or instruction_sets()[-1])


def test_a_set_that_is_not_there_is_refused() -> None:
    with pytest.raises(BackendError, match=r"instruction set 'avx1024' is not available; there are \['portable'"):
        instruction_set_number("avx1024")
