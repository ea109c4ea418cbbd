import pytest

from algos.common.errors import UserError
from framework.runs.files import atomic_write


def test_atomic_write_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "new" / "file.bin"
    atomic_write(path, b"old")

    def broken(file):
        file.write(b"half of the")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        atomic_write(path, broken)
    assert path.read_bytes() == b"old"
    atomic_write(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert [item.name for item in path.parent.iterdir()] == ["file.bin"]


def test_a_full_disk_is_told_in_a_line(tmp_path):
    def full(file):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError) as error:
        atomic_write(tmp_path / "file", full)
    assert str(error.value) == f"cannot write {tmp_path / 'file'}: No space left on device"
    assert list(tmp_path.iterdir()) == []
