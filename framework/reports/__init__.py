"""Pictures and tables made from run folders.

Reads files alone: no torch, no environment, no training.
"""
