"""Data for learning: rollouts, buffers, and the rule for how many updates are due.

No environment is stepped and no gradient taken here.
"""
