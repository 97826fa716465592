"""Files of tensors: exact, whole, and refused by name."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from convexbn import Solution, Whitening, activation, enumerate_arrangements, solve, whiten
from convexbn.storage import read_tensors, write_tensors

rng = np.random.default_rng(0)
X, y = rng.standard_normal((10, 2)), rng.standard_normal(10)
W = whiten(X)
D = activation(W.U, rng.standard_normal((3, 5)))


def test_arrays_tensors_and_words_come_back_as_they_were(tmp_path):
    arrays = {"a": rng.standard_normal((3, 2))[::-1], "b": torch.ones(2, 3).T, "c": np.array(2.5)}
    path = tmp_path / "deep" / "file.safetensors"
    write_tensors(path, arrays, seed=3, betas=[0.1, 1e-300], nothing=None)
    found, words = read_tensors(path)
    assert words == {"seed": 3, "betas": [0.1, 1e-300], "nothing": None}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == tuple(array.shape)


SOLUTIONS = {
    "gated": lambda: solve(W.U, D, y, 0.2),
    "nuclear, tensors": lambda: solve(*map(torch.from_numpy, (W.U, D, y)), 0.2, penalty="nuclear"),
    "relu": lambda: solve(W.U, enumerate_arrangements(W.U), y, 0.2, model="relu"),
    "relu_bn": lambda: solve(X, enumerate_arrangements(X), y, 0.2, model="relu_bn"),
}


@pytest.mark.parametrize("kind", SOLUTIONS)
def test_a_solution_comes_back_to_the_last_bit(kind, tmp_path):
    solution, path = SOLUTIONS[kind](), tmp_path / "solution.safetensors"
    solution.save(path)
    found = Solution.load(path)
    assert found.certificate == solution.certificate
    for name in ("weights", "dual", "multipliers"):
        before, after = getattr(solution, name), getattr(found, name)
        assert type(before) is type(after)
        if before is not None:
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after)
    for name in ("beta", "model", "loss", "penalty", "neurons"):
        assert getattr(found, name) == getattr(solution, name)


@pytest.mark.parametrize("filtered", [False, True])
def test_a_whitening_comes_back_to_the_last_bit(filtered, tmp_path):
    whitening, path = W.filtered("ridge", 0.1) if filtered else W, tmp_path / "w.safetensors"
    whitening.save(path)
    found = Whitening.load(path)
    for name, array in whitening.tensors().items():
        np.testing.assert_array_equal(found.tensors()[name], array)
    new = rng.standard_normal((4, 2))
    np.testing.assert_array_equal(found.transform(new), whitening.transform(new))
    assert found.columns is None


@pytest.mark.parametrize("kind", [Solution, Whitening])
def test_other_files_are_refused_by_name(kind, tmp_path):
    path = tmp_path / "file.safetensors"
    with pytest.raises(FileNotFoundError, match=r"file\.safetensors"):
        kind.load(path)
    own = W if kind is Whitening else solve(W.U, D, y, 0.2)
    own.save(path)
    whole = path.read_bytes()
    for cut in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"file\.safetensors is truncated, or no file of"):
            kind.load(path)
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ValueError, match=r"file\.safetensors is truncated, or no file of"):
        kind.load(path)
    save_file({"U": X}, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"file\.safetensors is truncated, or no file of"):
        kind.load(path)
    save_file({"U": X}, path)
    with pytest.raises(ValueError, match=r"file\.safetensors holds tensors of another origin"):
        kind.load(path)
    save_file({"U": X}, path, {"kind": json.dumps("Recipe")})
    with pytest.raises(
        ValueError, match=rf"file\.safetensors holds a Recipe, not a {kind.__name__}"
    ):
        kind.load(path)
    save_file({"U": X}, path, {"kind": json.dumps(kind.__name__)})
    with pytest.raises(ValueError, match=r"file\.safetensors lacks"):
        kind.load(path)


def test_a_certificate_of_another_version_is_refused_by_name(tmp_path):
    path = tmp_path / "file.safetensors"
    solve(W.U, D, y, 0.2).save(path)
    tensors, words = read_tensors(path)
    words["certificate"]["since"] = 1
    write_tensors(path, tensors, **words)
    with pytest.raises(ValueError, match=r"file\.safetensors has a certificate of another version"):
        Solution.load(path)


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModuleNotFoundError, match="pip install safetensors"):
        W.save(tmp_path / "file")
    with pytest.raises(ModuleNotFoundError, match="pip install safetensors"):
        Whitening.load(tmp_path / "file")
