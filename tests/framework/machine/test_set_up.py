import subprocess
import sys

import pytest
import torch

from framework.machine.set_up import set_up_torch

FAULTS = """
import resource, torch
from framework.machine.set_up import set_up_torch
set_up_torch(1)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    tensors = [torch.ones(256, 1024) for _ in range(20)]  # a MiB each
use()
use()
before = faults()
for _ in range(10):
    use()
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's switch")
def test_freed_memory_is_kept_for_the_next_update():
    faults = int(subprocess.check_output([sys.executable, "-c", FAULTS], text=True))
    assert faults < 1_000  # 20 MiB ten times are 51,200 pages


def test_threads():
    before = torch.get_num_threads()
    try:
        set_up_torch(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
