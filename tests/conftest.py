"""The garbage collector leaves alone what the imports and the collected tests hold, which is much and no garbage."""

import gc


def pytest_collection_finish() -> None:
    gc.freeze()
