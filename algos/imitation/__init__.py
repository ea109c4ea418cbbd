"""Learning from an expert's episodes."""
