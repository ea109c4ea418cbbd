"""Want of memory is one line for the user; other errors stay what they are."""

import numpy as np
import pytest

from algos.common.errors import UserError
from framework.machine.memory import memory_told


def test_want_of_memory_in_a_run_is_told_in_one_line():
    with (
        pytest.raises(UserError, match=r"out of memory: Unable to allocate 3\.64 TiB .*batch_size"),
        memory_told(),
    ):
        np.empty(10**12, np.float32)
    with pytest.raises(RuntimeError, match="shapes"), memory_told():
        raise RuntimeError("shapes differ")
