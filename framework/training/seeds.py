"""Random streams: every part of a run draws from its own, all from one seed."""

import secrets

import numpy as np

# append only: the order is part of every seed
ROLES = ("algorithm", "server", "evaluation", "test", "worker", "demos", "holdout")


def draw_seed() -> int:
    """A seed for a run that asked for none; it is recorded in the run's config."""
    return secrets.randbelow(2**31 - 1) + 1


def stream(seed: int, role: str, index: int = 0) -> int:
    """Seed of one part: the streams of different roles and indices are independent."""
    sequence = np.random.SeedSequence(seed, spawn_key=(ROLES.index(role), index))
    return int(sequence.generate_state(1)[0])
