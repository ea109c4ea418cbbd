"""`tasks/latest/`: a folder of links into the newest run, so that `tasks/latest/videos/video.gif` always works.

It is not one link to the run's folder, because TensorBoard follows links and would show that run twice; for the same
reason the run's TensorBoard logs have no link in it.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path

from framework.runs.files import atomic_write, temporary_name

log = logging.getLogger("joyride")

NAME = "latest"
TEXT = "latest.txt"  # names the run where links cannot be made
MARK = ".run"  # in the folder: names the run, relative to tasks
HIDDEN = ("tb_logs", "wandb", ".lock", ".origin")


def point(tasks: Path, run: Path) -> None:
    """Make `<tasks>/latest` show `run`, by relative links, so that `tasks` can be moved as a whole.

    A folder of the user's own with that name is left alone, with a warning.
    """
    place, target = tasks / NAME, _relative(run, tasks)
    if place.is_symlink():  # of an older version: a link to the run's folder
        place.unlink(missing_ok=True)
    elif os.path.lexists(place) and not _is_ours(place):
        log.warning("%s was not made by Joyride, so it is left alone and has no links to this run", place)
        return
    try:
        place.mkdir(exist_ok=True)
        atomic_write(place / MARK, f"{target}\n".encode())
        for path in place.iterdir():
            if path.is_symlink() and path.suffix != ".tmp":  # that one is just being made for another run
                path.unlink(missing_ok=True)
        _link_all(place, run)
    except (OSError, NotImplementedError):  # no links here
        with suppress(OSError):
            (place / MARK).unlink()
            place.rmdir()
        atomic_write(tasks / TEXT, f"{target}\n".encode())


def show(run: Path) -> None:
    """Add links to what has been made in `run` since, if `latest` shows that run."""
    for tasks in (run.parent, run.parent.parent):  # a job's folder lies in its sweep's
        if _shows(tasks, run):
            with suppress(OSError, NotImplementedError):
                _link_all(tasks / NAME, run)


def find(tasks: Path) -> Path | None:
    """The folder of the newest run, or None: there is no run yet, or that one was deleted."""
    place = tasks / NAME
    if place.is_symlink():
        return place.resolve() if place.is_dir() else None
    for text in (place / MARK, tasks / TEXT):
        with suppress(OSError):
            run = Path(tasks, text.read_text(encoding="utf-8").strip())
            return run if run.is_dir() else None
    return None


def real(path: Path) -> Path:
    """`path` without links: the place in the run's own folder, where `path` is `latest` or lies in it."""
    for place in (path, *path.parents):
        if place.name == NAME and (place.is_symlink() or (place / MARK).is_file()):
            run = find(place.parent)
            return path if run is None else run / path.relative_to(place)
    return path


def _is_ours(place: Path) -> bool:
    """Whether it is the folder of links; one that another run has just made is still empty.

    By one look: between two, that run may have put its mark and its links there.
    """
    try:
        inside = list(place.iterdir())
    except FileNotFoundError:  # that run had no links to put there, and took it away
        return True
    except NotADirectoryError:
        return False
    return any(path.name == MARK for path in inside) or all(path.suffix == ".tmp" for path in inside)


def _shows(tasks: Path, run: Path) -> bool:
    with suppress(OSError):
        return Path(tasks, (tasks / NAME / MARK).read_text(encoding="utf-8").strip()).resolve() == run.resolve()
    return False


def _link_all(place: Path, run: Path) -> None:
    for path in run.iterdir():
        link, target = place / path.name, _relative(path, place)
        if path.name in HIDDEN or path.name.endswith(".tmp") or (link.is_symlink() and os.readlink(link) == target):
            continue
        temporary = temporary_name(link)
        os.symlink(target, temporary, target_is_directory=path.is_dir())
        os.replace(temporary, link)


def _relative(path: Path, start: Path) -> str:
    try:
        return os.path.relpath(path.resolve(), start.resolve())
    except ValueError:  # another drive of Windows
        return str(path.resolve())
