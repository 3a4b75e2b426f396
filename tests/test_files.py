from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from leanrank import io
from leanrank._files import replacing
from leanrank.io import FileError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


class TestReplacing:
    def test_new_file_has_the_permissions_of_the_umask(self, tmp_path):
        (tmp_path / "plain").touch()
        with replacing(tmp_path / "a.txt", "w") as file:
            file.write("whole")
        assert (tmp_path / "a.txt").read_text() == "whole"
        assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_interrupted_write_leaves_the_old_file_and_nothing_else(self, tmp_path, error):
        path = write(tmp_path / "a.txt", "old")

        def half():
            with replacing(path, "w") as file:
                file.write("half")
                raise error

        with pytest.raises(error):
            half()
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_keeps_mode_and_follows_links(self, tmp_path):
        path = write(tmp_path / "real.txt", "old")
        path.chmod(0o640)
        link = tmp_path / "link.txt"
        link.symlink_to(path)
        with replacing(link, "w") as file:
            file.write("new")
        assert link.is_symlink()
        assert path.read_text() == "new"
        assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def test_full_disk_is_an_error_with_the_name(self, tmp_path):
        def full():
            with replacing(tmp_path / "a.txt"):
                raise OSError(28, "No space left on device")

        with pytest.raises(FileError, match=r"a\.txt: cannot be written \(No space"):
            full()


class TestCheckWritable:
    def test_leaves_nothing_behind(self, tmp_path):
        io.check_writable(tmp_path / "new.npz")
        assert list(tmp_path.iterdir()) == []

    def test_refuses(self, tmp_path):
        source = write(tmp_path / "in.csv", "1")
        hard = tmp_path / "hard.csv"
        os.link(source, hard)
        with pytest.raises(FileError, match="is a folder"):
            io.check_writable(tmp_path)
        with pytest.raises(FileError, match="there is no folder"):
            io.check_writable(tmp_path / "missing" / "out.csv")
        with pytest.raises(FileError, match="there is no folder"):
            io.check_writable(source / "out.csv")
        for same in (source, tmp_path / "." / "in.csv", hard):
            with pytest.raises(FileError, match="is the input, which is never overwritten"):
                io.check_writable(same, inputs=(source,))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_refuses_read_only_folder(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(FileError, match="cannot be written"):
            io.check_writable(tmp_path / "out.csv")
        tmp_path.chmod(0o700)

    def test_names_that_no_file_can_have(self, tmp_path):
        loop = tmp_path / "loop.csv"
        loop.symlink_to(loop)
        for name in (loop, tmp_path / ("é" * 130 + ".csv"), tmp_path / "a\0b.csv"):
            with pytest.raises(FileError, match="cannot be written|NUL byte"):
                io.check_writable(name)
            with pytest.raises(FileError, match="cannot be read|NUL byte"):
                io.read_matrix(name)
            with pytest.raises(FileError, match="cannot be written|NUL byte"):
                io.write_matrix(name, np.ones((1, 1)))
        assert list(tmp_path.iterdir()) == [loop]

    def test_the_longest_name_that_there_is(self, tmp_path):
        path = tmp_path / ("é" * 125 + ".csv")
        io.check_writable(path)
        io.write_matrix(path, np.ones((1, 1)))
        assert list(tmp_path.iterdir()) == [path]

    def test_a_folder_that_one_may_not_enter(self, tmp_path, monkeypatch):
        # Root may enter any, so the refusal is put on here.
        def refused(self, **kwargs):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "stat", refused)
        for act in (io.check_writable, io.read_matrix, io.load_result, io.read_problem):
            with pytest.raises(FileError, match=r"a\.npz: cannot be .* \(Permission denied\)"):
                act(tmp_path / "a.npz")


class TestStreams:
    """Pipes and devices are written to, never replaced."""

    def test_a_device_stays_one(self, tmp_path):
        for name in ("a.npy", "a.csv", "a.npz", "a.mtx"):
            (tmp_path / name).symlink_to("/dev/null")
            io.check_writable(tmp_path / name)
            io.write_matrix(tmp_path / name, np.ones((3, 2)))
        io.save_summary("/dev/null", {"a": 1})
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    @pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".mtx"])
    def test_a_pipe_gets_all_of_it(self, tmp_path, suffix):
        pipe, copy = tmp_path / f"pipe{suffix}", tmp_path / f"copy{suffix}"
        os.mkfifo(pipe)
        io.check_writable(pipe)
        reader = threading.Thread(target=lambda: copy.write_bytes(pipe.read_bytes()))
        reader.start()
        X = np.random.default_rng(0).standard_normal((100, 200))
        io.write_matrix(pipe, X)
        reader.join(30)
        assert stat.S_ISFIFO(pipe.stat().st_mode)
        assert np.array_equal(io.read_matrix(copy).completed(None), X)
        with pytest.raises(FileError, match="is a pipe or a device, expected a file"):
            io.read_matrix(pipe)

    def test_a_full_device_names_the_reason(self):
        with pytest.raises(FileError, match=r"/dev/full: cannot be written \(No space left"):
            io.save_summary("/dev/full", {"a": 1})

    def test_standard_output_in_a_file_is_gone_on_with(self, tmp_path):
        code = (
            "import sys, leanrank.io as io; print('before'); "
            "io.save_summary('/dev/stdout', {'a': 1}); print('after')"
        )
        with (tmp_path / "out").open("w") as file:
            subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
        assert (tmp_path / "out").read_text() == 'before\n{\n  "a": 1\n}\nafter\n'


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".mtx"])
def test_no_room_names_the_reason_and_keeps_the_old_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    X = np.random.default_rng(0).standard_normal((200, 200))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(FileError, match=rf"a{suffix}: cannot be written \(File too large\)"):
            io.write_matrix(path, X)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
