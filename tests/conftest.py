"""What all tests share: compiling asks the processor alone, the garbage collector leaves alone what is no garbage."""

import gc
import os

# torch.compile would build a program for each of the processor's instruction sets, only to see that the compiler can
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")


def pytest_collection_finish() -> None:
    gc.freeze()  # the imports and the collected tests
