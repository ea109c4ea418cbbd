"""A run on disk: its folder, checkpoints, models, trajectories, provenance, log and metric loggers.

Independent of settings, environments and training. Files are checked when read, as they may be from strangers.
"""
