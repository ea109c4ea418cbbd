"""From what the user gives (command line, YAML files, presets, saved runs) to a checked configuration.

Loads neither torch nor gymnasium, so that `--help` and mistakes answer at once.
"""
