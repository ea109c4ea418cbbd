import os

import pytest

from algos.common.errors import UserError
from framework.runs.checkpoint import load_model
from framework.runs.files import TEXT_BYTES, atomic_write, read_plain, read_text, refuse_links, writing
from framework.runs.trajectories import load_trajectories
from framework.settings.yaml_file import YamlFile


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


def strange(place, kind):
    """Something at `place` that is no plain file of a sane size."""
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "holes":
        with open(place, "wb") as file:
            file.truncate(40 * 2**30)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "folder":
        place.mkdir()


@pytest.mark.skipif(os.name == "nt", reason="has no pipes, and files without holes")
@pytest.mark.parametrize("kind", ["pipe", "holes", "device", "folder", "nothing"])
@pytest.mark.parametrize("read", [read_plain, read_text, load_model, load_trajectories, YamlFile])
def test_what_is_no_plain_file_is_told_at_once(tmp_path, kind, read):
    strange(tmp_path / "file", kind)
    with pytest.raises(UserError, match=r"cannot read|no model file") as told:
        read(tmp_path / "file")
    assert str(tmp_path / "file") in str(told.value) and "\n" not in str(told.value)


def test_text_is_utf8_and_of_a_sane_size(tmp_path):
    (tmp_path / "a").write_bytes("\ufeff训练".encode())
    assert read_text(tmp_path / "a") == "训练"
    (tmp_path / "a").write_bytes("训练".encode("gbk"))
    with pytest.raises(UserError, match=r"it is not UTF-8 text \(byte 2\)"):
        read_text(tmp_path / "a")
    (tmp_path / "a").write_bytes(b" " * (TEXT_BYTES + 1))
    with pytest.raises(UserError, match="at most 16,777,216 are read"):
        read_text(tmp_path / "a")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda place, out: place.symlink_to(out), "is a link to"),
        (lambda place, out: place.symlink_to("nowhere"), "is a link to nowhere"),
        (lambda place, out: place.symlink_to(out.parent), "is a link to"),
        (lambda place, out: os.mkfifo(place), "is no plain file"),
        (lambda place, out: os.link(out, place), "is a hard link"),
    ],
)
def test_what_leads_out_of_a_run_is_named(tmp_path, make, said):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("mine")
    run = tmp_path / "run" / "results"
    run.mkdir(parents=True)
    refuse_links(run.parent, to_write=True)
    make(run / "thing", tmp_path / "out" / "file")
    with pytest.raises(UserError, match=said) as told:
        refuse_links(run.parent, to_write=True)
    assert str(run / "thing") in str(told.value)


def test_links_inside_the_folder_of_wandb_may_stay(tmp_path):
    place = tmp_path / "wandb"
    (place / "run-1" / "logs").mkdir(parents=True)
    (place / "latest-run").symlink_to("run-1")
    refuse_links(tmp_path, to_write=True)
    (place / "other").symlink_to("../../elsewhere")
    with pytest.raises(UserError, match="other is a link"):
        refuse_links(tmp_path, to_write=True)


def test_a_name_that_the_locale_lacks_is_told():
    with pytest.raises(UserError, match="file names are in ascii here; set PYTHONUTF8=1"), writing("任务"):
        "任务".encode("ascii")
