"""The command line: `python main.py --help` says what it takes."""

import sys

from framework.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
