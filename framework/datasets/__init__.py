"""Datasets: whole episodes as columns, the files they come from in any known format, and the buffer for them.

Nothing is trained here, and no environment stepped.
"""
