"""Settings for all tests: torch.compile skips a check, and the garbage collector ignores what stays anyway."""

import gc
import os

# otherwise torch.compile builds a test program for each instruction set of the processor
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")


def pytest_collection_finish() -> None:
    gc.freeze()  # the imports and the collected tests
