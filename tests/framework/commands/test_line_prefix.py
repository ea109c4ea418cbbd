"""Lines with a prefix."""

import io
import os
import sys
from contextlib import redirect_stdout

import pytest

from algos.common.errors import UserError
from framework.commands.line_prefix import LinePrefix, lasting_stdout, prefixed


def test_whole_lines_are_handed_on_at_once():
    out = io.StringIO()
    stream = LinePrefix(out, "[1] ")
    assert stream.write("a") == 1 and out.getvalue() == ""
    stream.write("b\n\nc\nd")
    assert out.getvalue() == "[1] ab\n[1] \n[1] c\n" and not stream.isatty()
    stream.finish()
    stream.finish()
    assert out.getvalue().endswith("[1] d\n")


def test_it_ends_with_the_job():
    out = io.StringIO()
    with redirect_stdout(out):
        with prefixed("[7] "):
            print("one", "two")
            print("unfinished", end="")
        print("three")
    assert out.getvalue() == "[7] one two\n[7] unfinished\nthree\n" and sys.stdout is not out


def test_a_stdout_that_code_of_others_has_closed_ends_nothing():
    out = io.StringIO()
    with redirect_stdout(out), lasting_stdout():
        out.close()
        print("nobody reads this", flush=True)


class Full(io.StringIO):
    """On a disk that is full."""

    def write(self, text):
        raise OSError(28, "No space left on device")

    def fileno(self):
        return os.open(os.devnull, os.O_WRONLY)


def test_output_that_cannot_be_written_is_told():
    told = pytest.raises(UserError, match=r"^cannot write the output: No space left on device$")
    with told, redirect_stdout(Full()), lasting_stdout():
        print("a page of help")
