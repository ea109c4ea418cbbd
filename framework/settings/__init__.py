"""Turns user input (command line, YAML files, presets, saved runs) into a checked configuration.

Loads neither torch nor gymnasium, so that `--help` and errors appear at once.
"""
