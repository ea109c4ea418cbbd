"""CSV tables: nothing is torn, and what somebody deletes or cuts off is brought back or told."""

import pytest

from algos.common.errors import UserError
from framework.runs.table import Table


def filled(path, rows=3):
    table = Table(path, ("a", "b"))
    for row in range(rows):
        table.append((row, "x"))
    return table


def test_a_row_torn_at_the_end_is_cut_on_resume(tmp_path):
    table = filled(tmp_path / "t.csv")
    state = table.state_dict()
    table.file.write(b"3,")
    table.file.close()
    again = Table(tmp_path / "t.csv", ("a", "b"), state)
    again.append((3, "y"))
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "a,b\n0,x\n1,x\n2,x\n3,y\n"


@pytest.mark.parametrize("how", ["shorter", "gone"])
def test_rows_that_are_missing_on_resume_are_told(tmp_path, caplog, how):
    path = tmp_path / "t.csv"
    state = filled(path).state_dict()
    path.write_text("a,b\n0,x\n", encoding="utf-8") if how == "shorter" else path.unlink()
    table = Table(path, ("a", "b"), state)
    assert "fewer than at the checkpoint" in caplog.text
    table.append((3, "y"))
    assert path.read_text(encoding="utf-8").splitlines()[0] == "a,b"


@pytest.mark.parametrize("gone", ["deleted", "replaced"])
def test_a_file_that_somebody_deletes_is_written_again(tmp_path, gone):
    path = tmp_path / "r" / "t.csv"
    path.parent.mkdir()
    table = filled(path)
    path.unlink()
    path.parent.rmdir()
    if gone == "replaced":
        path.parent.mkdir()
        path.write_text("other", encoding="utf-8")
    table.append((3, "y"))
    table.state_dict()
    table.append((4, "y"))
    assert path.read_text(encoding="utf-8") == "a,b\n0,x\n1,x\n2,x\n3,y\n4,y\n"


def test_a_full_disk_leaves_no_torn_row(tmp_path):
    class Full:
        """A file on a disk with room for three bytes more."""

        def __init__(self, file):
            self.file = file

        def write(self, lines):
            return self.file.write(lines[:3])

        def __getattr__(self, name):
            return getattr(self.file, name)

    table = filled(tmp_path / "t.csv")
    table.file = Full(table.file)
    with pytest.raises(UserError, match=r"cannot write .*t.csv: No space left on device"):
        table.append((3, "yyyyy"))
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "a,b\n0,x\n1,x\n2,x\n"


def test_a_folder_or_other_bytes_in_its_place_are_told(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(UserError, match=r"t\.csv"):
        Table(tmp_path / "t.csv", ("a",))
    (tmp_path / "u.csv").write_bytes(b"a\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"cannot read .*u.csv"):
        Table(tmp_path / "u.csv", ("a",), {"columns": ["a"], "rows": 1})
