"""Settings for all tests: torch.compile skips a check, and the garbage collector ignores what stays anyway."""

import gc
import os
import tempfile

_state = tempfile.TemporaryDirectory(prefix="joyride-state-")  # the key that own runs are known by
os.environ["XDG_STATE_HOME"] = _state.name
# otherwise torch.compile builds a test program for each instruction set of the processor
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")


def pytest_collection_finish() -> None:
    gc.freeze()  # the imports and the collected tests
