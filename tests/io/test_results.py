from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import leanrank as lr
from leanrank import io
from leanrank.io import FileError
from leanrank.policy import EvidencePolicy


@pytest.fixture(scope="module")
def result():
    inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    return lr.recover(inst.op, inst.y)


class TestResults:
    def test_everything_comes_back(self, tmp_path, result):
        path = tmp_path / "r.npz"
        io.save_result(path, result, seed=3)
        back = io.load_result(path)
        assert np.array_equal(back.factors.W, result.factors.W)
        assert back.status is result.status
        assert back.message == result.message
        assert back.certificate == result.certificate
        assert back.policy == result.policy == lr.Policy()
        assert back.history.records == result.history.records
        assert {k: v.tolist() for k, v in back.column_norms.items()} == {
            k: v.tolist() for k, v in result.column_norms.items()
        }
        with np.load(path, allow_pickle=False) as arrays:
            assert json.loads(str(arrays["summary"]))["seed"] == 3

    def test_a_policy_of_ones_own_comes_back(self, tmp_path, result):
        evidence = EvidencePolicy(draws=7, largest_error=0.25)
        policy = lr.Policy(patience=5, ridges=(3.0, 0.1), flat=1e-300, evidence=evidence)
        io.save_result(tmp_path / "r.npz", replace(result, policy=policy))
        assert io.load_result(tmp_path / "r.npz").policy == policy
        io.save_result(tmp_path / "r.npz", replace(result, policy=None))
        assert io.load_result(tmp_path / "r.npz").policy is None

    def test_a_result_without_a_policy_is_one(self, tmp_path, result):
        assert self.with_policy(tmp_path, result, lambda text: None).policy is None
        early = self.with_policy(tmp_path, result, lambda text: '{"patience": 4}')
        assert early.policy == lr.Policy(patience=4)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ('{"patience": 2, "luck": 0.5}', r"a Policy of another version .* not know luck$"),
            ('{"evidence": {"b": 1, "a": 2}}', r"an? EvidencePolicy of another .* know a, b$"),
            ('{"patience": "long"}', "not a whole result .*patience must be an integer"),
            ('{"ridges": 3}', "not a whole result"),
            ('{"evidence": [1]}', "not"),
            ("[1, 2]", "not a whole result"),
            ("{", "not a whole result"),
        ],
    )
    def test_policies_that_cannot_be_read(self, tmp_path, result, text, message):
        with pytest.raises(FileError, match=message):
            self.with_policy(tmp_path, result, lambda _: text)

    @staticmethod
    def with_policy(tmp_path, result, change):
        """The result that comes back where its policy was written otherwise."""
        io.save_result(tmp_path / "r.npz", result)
        with np.load(tmp_path / "r.npz", allow_pickle=False) as file:
            arrays = dict(file)
        text = change(str(arrays.pop("policy")))
        if text is not None:
            arrays["policy"] = np.array(text)
        np.savez(tmp_path / "r.npz", **arrays)
        return io.load_result(tmp_path / "r.npz")

    def test_failures_and_infinite_numbers_come_back(self, tmp_path):
        rng = np.random.default_rng(0)
        op = lr.operators.DenseSensing(rng.standard_normal((12, 6, 6)))
        result = lr.recover(op, rng.standard_normal(12), rank=2)
        assert result.certificate is not None
        assert not result.success
        io.save_result(tmp_path / "r.npz", result)
        back = io.load_result(tmp_path / "r.npz")
        assert back.certificate == result.certificate
        text = json.dumps(io.summary(result), allow_nan=False)
        assert json.loads(text)["certificate"]["holds"] is False

    def test_stopped_without_factors_comes_back(self, tmp_path):
        inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
        result = lr.recover(inst.op, inst.y, callbacks=[lambda state: True])
        io.save_result(tmp_path / "r.npz", result)
        back = io.load_result(tmp_path / "r.npz")
        assert (back.certificate, back.status) == (None, lr.Status.STOPPED)

    @pytest.mark.parametrize("symmetric", [False, True])
    def test_factors_come_back(self, tmp_path, symmetric):
        U = np.arange(6.0, dtype=np.float32).reshape(3, 2)
        factors = lr.Factors(U, None if symmetric else U[:2] + 1)
        io.save_factors(tmp_path / "f.npz", factors)
        back = io.load_factors(tmp_path / "f.npz")
        assert back.symmetric is symmetric
        assert back.shape == factors.shape
        assert back.W.dtype == np.float32
        assert np.array_equal(back.W, factors.W)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"V": np.ones((2, 1))}, "has no array U"),
            ({"U": np.ones((2, 1)), "V": np.ones((2, 2))}, "same number of columns"),
            ({"U": np.full((2, 1), np.inf)}, "NaN or infinite"),
            ({"U": np.array([["a"]])}, "real numbers"),
        ],
    )
    def test_bad_factors(self, tmp_path, arrays, message):
        np.savez(tmp_path / "f.npz", **arrays)
        with pytest.raises(FileError, match=message):
            io.load_factors(tmp_path / "f.npz")

    def test_factors_alone_are_no_result(self, tmp_path, result):
        io.save_factors(tmp_path / "f.npz", result.factors)
        with pytest.raises(FileError, match="not a whole result"):
            io.load_result(tmp_path / "f.npz")

    def test_summary_is_plain_json(self, tmp_path, result):
        values = io.summary(result, seed=0, parameters={"rank": None, "share": np.float64("nan")})
        io.save_summary(tmp_path / "s.json", values)
        back = json.loads((tmp_path / "s.json").read_text())
        assert back["rank"] == 2
        assert back["shape"] == [30, 20]
        assert back["parameters"] == {"rank": None, "share": "nan"}
        assert back["certificate"]["holds"] is True
        assert len(back["singular_values"]) == 2
        assert back["leanrank"] == lr.__version__
