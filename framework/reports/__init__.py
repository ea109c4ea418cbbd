"""What a person looks at: curves, pictures and tables made from run folders, and the progress of a run that goes on.

Takes files and numbers alone: no torch, no environment, no training.
"""
