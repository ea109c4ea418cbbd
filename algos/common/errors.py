"""Mistakes of the user's, told in a line or two. Kept free of torch so that the command line stays fast."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: the text says what is wrong, where, and what to do.

    The command line prints the text alone and exits with code 2; anything else keeps its traceback.
    """


def first_line(error: BaseException) -> str:
    """The first line that an exception says; the name of its kind where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """End of an error message: the nearest of `options` to `word`, else all of them."""
    known = sorted(options)
    folded = {option.lower(): option for option in known}
    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]!r}?"
    return f"known: {', '.join(known)}" if known else "nothing is known here"
