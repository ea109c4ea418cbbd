"""User errors, reported in one or two lines (torch-free, so that the command line stays fast)."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can fix: the text says what is wrong, where, and what to do.

    The command line prints only the text and exits with code 2; any other exception keeps its traceback.
    """


def mark(error: BaseException, place: str) -> None:
    """Keep on an exception of an environment where it was raised; below a traceback this is told, too.

    A UserError has it in its text already. Python before 3.11 has no notes below tracebacks.
    """
    error.place = place  # type: ignore[attr-defined]
    if not isinstance(error, UserError):
        add_note(error, f"raised by {place}")


def place_of(error: BaseException) -> str:
    """Where an environment raised an exception; empty for any other."""
    return str(getattr(error, "place", ""))


def add_note(error: BaseException, text: str) -> None:
    """A line below an exception's traceback, where Python can have one (3.11 and later)."""
    if hasattr(error, "add_note"):
        error.add_note(text)


class Outage(UserError):
    """Something that a run needs has failed outside of it, such as the disk or Ray: it can be resumed.

    `mended_by_resuming`: there is nothing to mend before that.
    """

    mended_by_resuming = False


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; the name of its type if the message is empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def shortened(text: str) -> str:
    """A message in which no word, of thousands of letters say, fills the screen."""
    return re.sub(r"\S{1000,}", lambda word: f"{word[0][:80]}...{word[0][-40:]}", text)


class Mistakes:
    """Collects several user errors for one message."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.texts)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Collect a UserError instead of raising it."""
        try:
            yield
        except UserError as error:
            self.note(str(error))

    def note(self, text: str) -> None:
        """Collect an error text."""
        self.texts.append(text)

    def tell(self) -> None:
        """Raise one UserError with a line per error, if there are any."""
        if self.texts:
            raise UserError("\n".join(dict.fromkeys(self.texts)))


def nearest(word: str, options: Iterable[str], most: int = 3) -> str | None:
    """The option that `word` is a typo of, in any case; None if none is similar enough.

    A typo is one wrong, missing, added or swapped letter; two from 8 letters on, three from 12 on, at most `most`.
    """
    slips = max(1, min(most, len(word) // 4))
    found: list[tuple[int, bool, str]] = []
    for option in sorted(options):
        if abs(len(option) - len(word)) <= slips:
            distance = _edits(word.lower(), option.lower())
            if distance <= slips and distance * 3 <= max(len(word), len(option)):
                found.append((distance, not _holds(option.lower(), word.lower()), option))
    return min(found)[2] if found else None


def _holds(text: str, letters: str) -> bool:
    """Whether `text` contains these letters in order: a missing letter is the most likely typo."""
    rest = iter(text)
    return all(letter in rest for letter in letters)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """The end of an error message: the option nearest to `word`, else all options."""
    known = sorted(options)
    near = nearest(word, known)
    if near is not None:
        return f"did you mean {near!r}?"
    return f"known: {', '.join(known)}" if known else "nothing is known here"


def _edits(one: str, other: str) -> int:
    """Edit distance with swaps of neighbouring letters."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        earlier, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
