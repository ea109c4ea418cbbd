"""From the command line to one mode. Free of torch, gymnasium and ray until a run is dispatched."""

import argparse
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig

from algos.common.errors import UserError, shortened
from framework import __version__
from framework.commands.completion import complete
from framework.commands.flags import refuse_flags
from framework.commands.help_topics import show_topics, topics_of
from framework.commands.line_prefix import lasting_stdout
from framework.commands.sweep import run_sweep
from framework.commands.sweep_resume import resume_sweep, sweep_to_resume
from framework.commands.translate import asks_to_translate, run_translate
from framework.commands.verify import asks_to_verify, run_verify
from framework.reports.translation import tell
from framework.settings.command import as_started
from framework.settings.hydra_private import Hydra, HydraConfig, args_parser
from framework.settings.hydra_session import CONFIG_NAME, USER_MISTAKES, explain, hydra_session, show_help
from framework.settings.joyrl.translate import read_settings
from framework.settings.overrides import quoted
from framework.settings.prepare import Job, prepare, show_remarks, to_config
from framework.settings.reference import with_meaning_of_null

LAST_WAIT = 10.0  # seconds for threads of others, once all is done


def main(argv: Sequence[str]) -> int:
    """Run the command line; the exit code: 0, 1 if a job of a sweep failed or a preset does not pass,
    2 for a user error, 130 or 143 when interrupted.

    Any other exception is a programming error and passes through.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them: they are told here
    if "--version" in argv:
        print(f"Joyride {__version__}")
        return 0
    try:
        _check_surroundings(argv)
        args, parser = _parse(argv)
        with lasting_stdout(), hydra_session() as hydra:
            return _dispatch(hydra, args, parser)
    except UserError as error:
        told = as_started(shortened(str(error)))
        with suppress(OSError):  # nobody reads it
            print(f"error: {told}".replace("\n", "\n       "), file=sys.stderr)  # under the first of several mistakes
        return 2
    except KeyboardInterrupt:
        return 130


def _check_surroundings(argv: Sequence[str]) -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise UserError("the working folder has been deleted; change to one that is there (cd)") from error
    if any("\udc80" <= letter <= "\udcff" for word in argv for letter in word):
        raise UserError(
            f"the command line is not text in this locale ({sys.getfilesystemencoding()}); set PYTHONUTF8=1, or a"
            " locale of UTF-8 such as LC_ALL=C.UTF-8"
        )


def leave(code: int) -> int:
    """The exit code, for `sys.exit`, which waits for threads: not for ever for one that an environment has left."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        threading.Thread(target=_give_up, args=(code,), daemon=True).start()
    return code


def _give_up(code: int) -> None:
    time.sleep(LAST_WAIT)
    main = threading.main_thread()
    left = [thread.name for thread in threading.enumerate() if thread is not main and not thread.daemon]
    if left:  # else Python is at work that comes after the threads
        with suppress(OSError, ValueError, AttributeError):
            print(f"note: left without waiting for {', '.join(left)}: threads that nobody has ended", file=sys.stderr)
            sys.stdout.flush()
        os._exit(code)


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    parser = args_parser()
    parser.add_argument("--yaml", action="append", metavar="FILE", help="Settings file")
    next(action for action in parser._actions if action.dest == "version").help = "Show Joyride's version and exit"
    flags = [flag for action in parser._actions for flag in action.option_strings]

    def refuse(message: str) -> NoReturn:
        refuse_flags(argv, flags)
        raise UserError(message)

    parser.allow_abbrev = False  # --res is no flag, --config is a word of other tools
    parser.error = refuse  # type: ignore[method-assign] # argparse would print its whole usage
    args = parser.parse_intermixed_args(argv)
    for flag, value in (("--config-path", args.config_path), ("--config-name", args.config_name)):
        if value is not None:
            raise UserError(f"{flag} is not supported; add a folder of options with --config-dir")
    if args.experimental_rerun is not None:
        raise UserError("--experimental-rerun is not supported; use load_path=<run> or resume=<run>")
    if len(args.yaml or []) > 1:
        raise UserError("--yaml is given more than once; put all settings in one file")
    if args.yaml and not args.yaml[0].strip():
        raise UserError("--yaml is empty (a variable of the shell that is not set?): name a file, or leave it out")
    _check_commands(args)
    _add_config_dir(args)
    return args, parser


def _check_commands(args: argparse.Namespace) -> None:
    if "hydra.mode=MULTIRUN" in args.overrides:
        args.overrides.remove("hydra.mode=MULTIRUN")
        args.multirun = True
    commands = {
        "--run": args.run,
        "-m": args.multirun,
        "--cfg": args.cfg,
        "--info": args.info,
        "-sc": args.shell_completion,
    }
    given = [flag for flag, value in commands.items() if value]
    if len(given) > 1:
        raise UserError(f"{given[0]} and {given[1]} cannot be combined; choose one of {', '.join(commands)}")
    if (args.resolve or args.package) and not args.cfg:
        raise UserError(f"{'--resolve' if args.resolve else '--package'} only works with --cfg job")


def _add_config_dir(args: argparse.Namespace) -> None:
    if args.config_dir is not None:
        folder = Path(args.config_dir).resolve()
        if not folder.is_dir():
            raise UserError(f"--config-dir {args.config_dir}: no such folder")
        args.overrides.append(f"hydra.searchpath=[{quoted(str(folder))}]")


def _interruptible() -> None:
    """From here on Ctrl-C is an exception, which jobs and runs handle: main.py had the process leave at once."""
    if getattr(signal.getsignal(signal.SIGINT), "__name__", "") == "leave_quietly":
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _dispatch(hydra: Hydra, args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    topics = topics_of(args.overrides) if args.help else []
    if topics:
        show_topics(topics)
        return 0
    if args.help or args.hydra_help:
        show_help(hydra, parser, of_flags=not args.help)
        return 0
    if args.shell_completion:
        complete(hydra, args.overrides)
        return 0
    if asks_to_translate(hydra, args.overrides):
        return run_translate(args.yaml, args.overrides)
    file, translation = read_settings(args.yaml[0]) if args.yaml else (None, None)
    if translation is not None and not (args.cfg or args.info):
        tell(translation)
    if args.multirun:
        _interruptible()
        return run_sweep(hydra, args.overrides, file)
    if not (args.cfg or args.info) and asks_to_verify(hydra, args.overrides, file):
        _interruptible()
        return run_verify(hydra, args.overrides, file)
    if not (args.cfg or args.info) and (sweep := sweep_to_resume(hydra, args.overrides, file)) is not None:
        _interruptible()
        return resume_sweep(hydra, sweep, args.overrides)
    job = prepare(hydra, args.overrides, file)
    if args.cfg or args.info:
        return _show(hydra, args, job)
    show_remarks([job])
    return _run(hydra, job)


def _show(hydra: Hydra, args: argparse.Namespace, job: Job) -> int:
    overrides = [*job.hydra_overrides, *job.overrides]
    shown = io.StringIO()
    try:
        if args.cfg:
            with redirect_stdout(shown):
                hydra.show_cfg(CONFIG_NAME, overrides, args.cfg, args.package, args.resolve)
            print(with_meaning_of_null(shown.getvalue(), job.config), end="")
        else:
            hydra.show_info(args.info, CONFIG_NAME, overrides)
    except USER_MISTAKES as error:
        raise UserError(explain(error, hydra)) from error
    except SystemExit as stop:  # Hydra has told an unknown --package
        return 2 if stop.code else 0
    return 0


def _run(hydra: Hydra, job: Job) -> int:
    """Run one job inside Hydra; an exception of the job is raised here unchanged."""
    results: list[Any] = []

    def task(composed: DictConfig) -> None:
        try:
            from framework.commands import modes  # torch is imported here, not before

            _interruptible()
            results.append(modes.run(to_config(composed), hydra_cfg=HydraConfig.get()))
        except Exception as error:
            results.append(error)

    hydra.run(CONFIG_NAME, task, [*job.hydra_overrides, *job.overrides])
    if isinstance(results[0], Exception):
        raise results[0]
    return int(results[0] or 0)
