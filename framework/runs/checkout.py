"""Where the code lies: the folder of main.py, config/ and docs/, whatever the working directory is."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
