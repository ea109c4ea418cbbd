"""Data for learning: rollouts, the buffers that hold them, and the rule of how many updates are due.

No environment is stepped and no gradient taken here.
"""
