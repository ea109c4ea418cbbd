"""The same parts as Ray actors: the cluster, the pool of workers, pacing, and what happens when a part fails.

The only wing that imports ray, and only once a run asks for it.
"""
