"""Fits, predictions, requests and generations are counted, the outermost ones only."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.frugalwatch.inside.kit import run_inside

SKLEARN = """
import inspect, pickle, warnings
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
X, y = load_iris(return_X_y=True)
pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2))
pipeline.fit(X, y)                                      # one fit, and a warning of its own
print(pipeline.predict(X)[:3], pipeline.score(X, y))    # two predictions
GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=2).fit(X, y)  # one
class Mine(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, *, extra=1): self.classes_ = [0, 1]; return self
    def predict(self, X): return [0] * len(X)
mine = Mine().fit(X, y)                                 # one
mine.predict(X)                                         # one
print(inspect.signature(Mine.fit), inspect.signature(mine.fit), mine)
print(pickle.loads(pickle.dumps(pipeline)).predict(X)[-3:])  # one
LogisticRegression().fit(X, [1])                        # one, which fails
"""


def test_fits_and_predictions_of_scikit_learn_are_counted(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    script = tmp_path / "job.py"
    script.write_text(SKLEARN)
    command = [sys.executable, str(script)]
    ours, plain = run_inside(command), run_inside(command, hooked=False)
    assert ours.stdout == plain.stdout
    assert ours.stderr == plain.stderr
    assert "ConvergenceWarning" in ours.stderr
    assert ours.returncode == plain.returncode == 1
    assert ours.counts() == {"fit": 4, "predict": 4}
    assert ours.told("problem") == []
    assert {message[2] for message in ours.told("times")} == {"fit", "predict"}


# The shape of the real modules, which the environment of the tests need not have.
ONNXRUNTIME = """
class Session:
    def run(self, output_names, input_feed, run_options=None):
        if input_feed is None: raise ValueError("no input")
        return [input_feed]
class InferenceSession(Session): pass
"""
GENERATION = """
class Ids:
    def __init__(self, *shape): self.shape = shape
class GenerationMixin:
    def generate(self, inputs, how="_sample", new_tokens=3):
        return getattr(self, how)(inputs, new_tokens)
    def _sample(self, input_ids, new_tokens):
        for _ in range(new_tokens): self._update_model_kwargs_for_generation({}, {})
        return input_ids
    def _beam_search(self, input_ids, new_tokens):
        return self._sample.__func__(self, input_ids, 0) or self._other(new_tokens)
    def _other(self, new_tokens):
        for _ in range(new_tokens): self._update_model_kwargs_for_generation({}, {})
    def _update_model_kwargs_for_generation(self, outputs, model_kwargs): return model_kwargs
"""


def package(folder: Path, name: str, text: str) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        folder = folder / parent
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
    (folder / f"{last}.py").write_text(text)


def test_requests_to_onnx_runtime_are_counted(tmp_path: Path) -> None:
    package(tmp_path, "onnxruntime.capi.onnxruntime_inference_collection", ONNXRUNTIME)
    ran = run_inside(
        """
        from onnxruntime.capi.onnxruntime_inference_collection import InferenceSession
        session = InferenceSession()
        for number in range(4): assert session.run(None, number) == [number]
        try: session.run(None, None)
        except ValueError: print("failed")
        """,
        PYTHONPATH=str(tmp_path),
    )
    assert (ran.stdout, ran.stderr) == ("failed\n", "")
    assert ran.counts() == {"request": 5}


def test_generations_and_their_tokens_are_counted(tmp_path: Path) -> None:
    package(tmp_path, "transformers.generation.utils", GENERATION)
    ran = run_inside(
        """
        from transformers.generation.utils import GenerationMixin, Ids
        class Model(GenerationMixin): pass
        Model().generate(Ids(2, 5), new_tokens=3)     # 6 tokens
        Model().generate(Ids(4, 5), new_tokens=2)     # 8
        Model().generate(Ids(4, 5), how="_other", new_tokens=2)  # unknown
        """.replace('how="_other"', 'how="_beam_search"'),
        PYTHONPATH=str(tmp_path),
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.counts() == {"generate": 3, "token": 14}
    assert ran.told("problem") == []


def test_a_library_that_is_not_as_expected_is_a_problem_told(tmp_path: Path) -> None:
    package(tmp_path, "onnxruntime.capi.onnxruntime_inference_collection", "Session = 3\n")
    package(tmp_path, "transformers.generation.utils", "class GenerationMixin: pass\n")
    package(tmp_path, "sklearn.base", "nothing = 1\n")
    package(tmp_path, "torch", "nothing = 1\n")
    ran = run_inside(
        "import onnxruntime.capi.onnxruntime_inference_collection, transformers.generation.utils\n"
        "import sklearn.base, torch\nprint('goes on')\n",
        PYTHONPATH=str(tmp_path),
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "goes on\n", "")
    assert len(ran.told("problem")) == 5  # torch has two features
