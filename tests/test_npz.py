from __future__ import annotations

import struct
import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from leanrank import io
from leanrank._npz import write_arrays
from leanrank.io import FileError


def npy_header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    buffer = BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


class TestWriting:
    def test_numpy_reads_what_was_written(self, tmp_path):
        arrays = {
            "file": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "names": np.array(["é", "bc"]),
            "one": np.float32(2.5),
            "none": np.zeros((0, 4), dtype=np.int32),
            "part": np.arange(20)[::3],
        }
        write_arrays(tmp_path / "a.npz", arrays)
        with np.load(tmp_path / "a.npz", allow_pickle=False) as read:
            assert sorted(read.files) == sorted(arrays)
            for name, array in arrays.items():
                assert read[name].dtype == array.dtype
                np.testing.assert_array_equal(read[name], array)

    def test_nothing_is_pickled(self, tmp_path):
        with pytest.raises(ValueError, match="Object arrays cannot be saved"):
            write_arrays(
                tmp_path / "a.npz", {"x": np.ones(3), "y": np.array([print], dtype=object)}
            )
        assert list(tmp_path.iterdir()) == []


class TestHostileArrays:
    def test_pickles_are_not_loaded(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez(path, y=np.array([print], dtype=object), A=np.ones((1, 2, 2)))
        with pytest.raises(FileError, match="array 'y': holds object values"):
            io.read_problem(path)

    def test_structured_arrays_are_refused(self, tmp_path):
        path = tmp_path / "a.npy"
        np.save(path, np.zeros(2, dtype=[("a", "f8")]))
        with pytest.raises(FileError, match="expected numbers"):
            io.read_matrix(path)

    @pytest.mark.parametrize("shape", [(10**12, 10), (2**62, 2**62), (3, 3), (-1, 5)])
    def test_claimed_shapes_are_compared_with_the_bytes(self, tmp_path, shape):
        content = npy_header(shape) + bytes(16)
        (tmp_path / "a.npy").write_bytes(content)
        with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
            archive.writestr("X.npy", content)
        for name in ("a.npy", "b.npz"):
            with pytest.raises(FileError, match="header claims shape|not an array"):
                io.read_matrix(tmp_path / name)

    def test_every_truncation_is_an_error(self, tmp_path):
        whole = tmp_path / "whole.npz"
        np.savez_compressed(whole, X=np.random.default_rng(0).random((5, 4)))
        data = whole.read_bytes()
        part = tmp_path / "part.npz"
        for n in range(0, len(data), 7):
            part.write_bytes(data[:n])
            with pytest.raises(FileError):
                io.read_matrix(part)

    def test_flipped_bytes_never_crash(self, tmp_path):
        whole = tmp_path / "whole.npz"
        np.savez_compressed(whole, X=np.full((5, 4), np.nan))
        data = bytearray(whole.read_bytes())
        part = tmp_path / "part.npz"
        for n in range(len(data)):
            damaged = data.copy()
            damaged[n] ^= 0x5A
            part.write_bytes(damaged)
            with pytest.raises(FileError):
                io.read_matrix(part)

    def test_missing_file(self, tmp_path):
        for name in ("a.npz", "a.npy", "a.csv", "a.mtx"):
            with pytest.raises(FileError, match=name):
                io.read_matrix(tmp_path / name)


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def peak(read, path: Path, message: str | None = None) -> int:
    """Most bytes that Python held at a time while a file was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=message):
            read(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class TestDamagedArchives:
    def test_name_flagged_utf8_that_is_not(self, tmp_path):
        path = zipped(tmp_path / "a.npz", {"é.npy": npy_header((1, 1)) + bytes(8)})
        path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xff"))
        with pytest.raises(FileError, match="not a readable file of arrays"):
            io.read_matrix(path)

    @pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    def test_compressed_in_other_ways(self, tmp_path, method):
        path = zipped(tmp_path / "a.npz", {"X.npy": npy_header((1, 1)) + bytes(8)}, method)
        with pytest.raises(FileError, match="compressed in a way that NumPy does not write"):
            io.read_matrix(path)

    @pytest.mark.parametrize(
        "header",
        [
            "{'descr': '<f8', 'fortran_order': False, 'shape': ((1, 1), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1)",
            "(" * 5000,
            "{'descr': '<U0', 'fortran_order': False, 'shape': (1000, 1000), }",
            "{'descr': ('<f8', (0,)), 'fortran_order': False, 'shape': (3, 3), }",
            "{'descr': [], 'fortran_order': False, 'shape': (3, 3), }",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 1000000000000000000000), }",
        ],
    )
    def test_headers_that_mean_nothing(self, tmp_path, header):
        text = header.encode() + b"\n"
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
        (tmp_path / "a.npy").write_bytes(content)
        zipped(tmp_path / "a.npz", {"X.npy": content})
        for name in ("a.npy", "a.npz"):
            for read in (io.read_matrix, io.load_factors):
                with pytest.raises(FileError, match=name):
                    read(tmp_path / name)

    @pytest.mark.parametrize("both", [True, False])
    def test_directory_that_claims_gigabytes(self, tmp_path, both):
        """In the central directory: both sizes, or the one after expansion only."""
        n = 3_500_000_000
        content = npy_header((n // 8 // 100, 100)) + bytes(16)
        path = zipped(tmp_path / "a.npz", {"X.npy": content}, zipfile.ZIP_STORED)
        data = path.read_bytes()
        place = data.rindex(b"PK\x01\x02") + 20
        claim = struct.pack("<II", n + 128 if both else len(content), n + 128)
        path.write_bytes(data[:place] + claim + data[place + 8 :])
        message = "are said to take more than its" if both else "more than they can hold"
        assert peak(io.read_matrix, path, message) < 2**22

    def test_what_expands_beyond_what_is_wanted_is_not_expanded(self, tmp_path):
        zeros = bytes(2**27)
        for shape in ((2**24,), (5, 4), (2, 2, 2**22)):
            path = zipped(tmp_path / "a.npz", {"X.npy": npy_header(shape) + zeros})
            assert peak(io.read_matrix, path) < 2**22
        path = zipped(tmp_path / "a.npz", {"U.npy": npy_header((2**24,)) + zeros})
        assert peak(io.load_factors, path) < 2**22
        path = zipped(tmp_path / "a.npz", {"y.npy": npy_header((2**12, 2**12)) + zeros})
        assert peak(io.read_problem, path) < 2**22

    def test_the_same_array_twice(self, tmp_path):
        content = npy_header((1, 1)) + bytes(8)
        path = zipped(tmp_path / "a.npz", {"X.npy": content, "X": content})
        with pytest.raises(FileError, match="array 'X' is there twice"):
            io.read_matrix(path)

    def test_values_that_do_not_fit_their_sum(self, tmp_path):
        content = npy_header((3, 3)) + np.arange(9.0).tobytes()
        path = zipped(tmp_path / "a.npz", {"X.npy": content}, zipfile.ZIP_STORED)
        data = bytearray(path.read_bytes())
        data[data.index(np.float64(5.0).tobytes())] ^= 1
        path.write_bytes(data)
        with pytest.raises(FileError, match="Bad CRC"):
            io.read_matrix(path)

    def test_more_than_the_machine_has(self, tmp_path, monkeypatch):
        monkeypatch.setattr("os.sysconf", lambda name: 32)
        path = zipped(tmp_path / "a.npz", {"X.npy": npy_header((30, 30)) + bytes(7200)})
        with pytest.raises(FileError, match="more than the memory of this machine"):
            io.read_matrix(path)

    def test_numbers_of_another_byte_order(self, tmp_path):
        X = np.arange(6.0).reshape(2, 3)
        np.savez(tmp_path / "a.npz", X=X.astype(">f8"))
        values = io.read_matrix(tmp_path / "a.npz").values
        assert values.dtype.isnative
        assert np.array_equal(values, X.ravel())
