"""Whatever bytes a file holds, it is read or refused: FileError and nothing else comes out."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import leanrank as lr
from leanrank import io
from leanrank.io import FileError

many = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

changes = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["flip", "cut", "drop", "insert", "double"]),
        st.binary(min_size=1, max_size=4)
        | st.sampled_from([b"e", b"-", b"(", b"'", b"%", b"9" * 9]),
    ),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, how: list[tuple[float, str, bytes]]) -> bytes:
    for share, kind, new in how:
        i = int(share * len(data))
        data = {
            "flip": data[:i] + new + data[i + len(new) :],
            "cut": data[:i],
            "drop": data[:i] + data[i + len(new) :],
            "insert": data[:i] + new + data[i:],
            "double": data[:i] + data[: i // 2] + data[i:],
        }[kind]
    return data


def stored(save, **arrays) -> bytes:
    buffer = BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


rng = np.random.default_rng(0)
X = np.where(rng.random((5, 4)) < 0.8, rng.standard_normal((5, 4)), np.nan)
rows, cols = np.nonzero(~np.isnan(X))
triplets = {"rows": rows, "cols": cols, "y": X[rows, cols], "shape": [5, 4]}
wide = "site,mon,tue,wed\nA,1,2,\nB,2.5,,3\nC,4,5,6\nD,7,8,\n"
long = "user,item,rating\n" + "".join(
    f"u{i},i{j},{x}\n" for i, j, x in zip(rows, cols, X[rows, cols], strict=True)
)
sparse = "%%MatrixMarket matrix coordinate real general\n5 4 13\n" + "".join(
    f"{i + 1} {j + 1} {x:.5e}\n" for i, j, x in zip(rows[:13], cols[:13], range(13), strict=True)
)
full = "%%MatrixMarket matrix array real symmetric\n3 3\n1e0\n2.5e-1\n3\n4\n5\n6\n"
texts = [(".csv", wide), (".csv", long), (".mtx", sparse), (".mtx", full)]


def check(read, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with suppress(FileError):
        read(path)


@pytest.mark.parametrize(("suffix", "text"), texts)
@many
@given(how=changes)
def test_texts(tmp_path, suffix, text, how):
    check(io.read_matrix, tmp_path / f"a{suffix}", damaged(text.encode(), how))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@many
@given(how=changes)
def test_archives(tmp_path, save, how):
    check(io.read_matrix, tmp_path / "a.npz", damaged(stored(save, X=X), how))
    data = damaged(stored(save, **triplets), how)
    check(io.read_matrix, tmp_path / "a.npz", data)
    check(io.read_problem, tmp_path / "a.npz", data)


@many
@given(how=changes)
def test_arrays(tmp_path, how):
    buffer = BytesIO()
    np.save(buffer, X)
    check(io.read_matrix, tmp_path / "a.npy", damaged(buffer.getvalue(), how))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    inst = lr.simulate.matrix_completion((12, 10), 1, oversampling=3, random_state=0)
    path = tmp_path_factory.mktemp("saved") / "r.npz"
    io.save_result(path, lr.recover(inst.op, inst.y))
    with np.load(path) as arrays:
        return stored(np.savez, **arrays)


@many
@given(how=changes)
def test_results(tmp_path, saved, how):
    for read in (io.load_result, io.load_factors):
        check(read, tmp_path / "a.npz", damaged(saved, how))


members = st.dictionaries(
    st.sampled_from(
        ["y", "A", "packed", "d", "rows", "cols", "shape", "x", "z", "symmetric", "U", "V"]
    ),
    st.tuples(
        st.sampled_from(["<f8", ">f4", "<f2", "<i8", "<u8", "|b1", "<c16", "<U3", "<f16"]),
        st.lists(st.integers(0, 4), max_size=3),
        st.integers(-2, 5),
    ),
    min_size=1,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=members)
def test_sound_files_of_wrong_arrays(tmp_path, given):
    arrays = {
        name: np.full(shape, abs(value) if dtype in ("<u8", "|b1") else value).astype(dtype)
        for name, (dtype, shape, value) in given.items()
    }
    for read in (io.read_problem, io.read_matrix, io.load_factors, io.load_result):
        check(read, tmp_path / "a.npz", stored(np.savez, **arrays))


@pytest.mark.parametrize("field", ["result", "certificate", "history: loss", "history: phase"])
@pytest.mark.parametrize(
    "content", ["", "null", "[]", "{}", "1", '"a"', "[" * 100_000, '{"status": []}', "NaN"]
)
def test_results_of_other_fields(tmp_path, saved, field, content):
    (tmp_path / "a.npz").write_bytes(saved)
    with np.load(tmp_path / "a.npz") as given:
        arrays = dict(given)
    assert field in arrays
    arrays[field] = np.array(content)
    check(io.load_result, tmp_path / "a.npz", stored(np.savez, **arrays))
