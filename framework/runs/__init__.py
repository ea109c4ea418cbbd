"""A run on disk: its folder, checkpoints, models, trajectories, provenance, log, and where metrics go besides tables.

Knows nothing of settings, environments or training; whatever is read here may come from a stranger and is checked.
"""
