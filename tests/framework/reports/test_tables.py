import math

from framework.reports.tables import read_csv


def test_a_torn_last_row_is_left_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2.5\n3,\n4,5")  # the 5 may have been 57
    columns = read_csv(path)
    assert columns["a"] == [1.0, 3.0] and columns["b"][0] == 2.5 and math.isnan(columns["b"][1])
    path.write_text("a,b\n1,2.5\n3\n")
    assert read_csv(path) == {"a": [1.0], "b": [2.5]}
    path.write_text("a,b\r\n1,2.5\r\n")
    assert read_csv(path) == {"a": [1.0], "b": [2.5]}
    path.write_text("a,b\n")
    assert read_csv(path) == {"a": [], "b": []}
    path.write_text("a,")
    assert read_csv(path) == {}
    assert read_csv(tmp_path / "none.csv") == {}
