"""Makes pages of docs/ from presets, results and settings (`make tables`).

These modules are not part of the command line.
"""
