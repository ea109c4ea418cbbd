"""The same parts as Ray actors: the cluster, the worker pool, pacing, and recovery from failures.

The only package that imports ray, and only for a run that uses it.
"""
