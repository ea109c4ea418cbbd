"""mode=dataset: makes datasets of presets, and looks for faults in data."""
