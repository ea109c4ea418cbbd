"""Output for people: curves, pictures and tables made from run folders, and the progress of a run.

Takes files and numbers alone: no torch, no environment, no training.
"""
