"""Pages of docs/ that are made from presets, results and settings, by `make tables`.

No command of the command line lives here.
"""
