"""The table printed at the start of a run that uses a JoyRL settings file."""

import os

from framework.settings.command import main_command
from framework.settings.joyrl.translate import Translation


def tell(translation: Translation) -> None:
    """Print the table to stderr."""
    from rich.console import Console  # it takes a while, and --help imports this module
    from rich.table import Table

    title = f"{translation.file.path} is a JoyRL settings file of {translation.year}, translated as follows:"
    table = Table(title=title)
    table.add_column("line", justify="right")
    for name in ("JoyRL", "here", "why"):
        table.add_column(name, overflow="fold")
    for row in translation.rows:
        table.add_row(str(row.line or ""), row.theirs, row.here or "-", row.why)
    console = Console(stderr=True, width=None if os.isatty(2) else 160, highlight=False, markup=False)
    console.print(table)
    command = main_command("--yaml", str(translation.file.path), "mode=translate")
    console.print(f"to print it with Joyride's keys: {command}", soft_wrap=True)
