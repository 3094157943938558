"""A changed model learns from the teacher's answers to captured inputs, the same for a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from advisor.in_job.compressing import losses, samples
from advisor.in_job.compressing.job import CannotCompressError, read_steps
from advisor.in_job.compressing.recovery import Settings
from tests.advisor.in_job.compressing_kit import CALLS, clusters, job, taught

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def network() -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(3),
        torch.nn.Flatten(),
        torch.nn.Linear(144, 4),
    )


def calls(count: int = CALLS) -> list[tuple[Any, ...]]:
    inputs, _ = clusters(count, 7)
    return [(each[None],) for each in inputs]


@pytest.fixture(scope="module")
def teacher() -> Any:
    return taught(network(), *clusters(256, 1))


def spoilt(job: Any) -> Any:
    import torch

    model = job.copy()
    with torch.no_grad():
        model[0].weight[:8] = 0
        model[5].weight.mul_(0.1)
    return model


def test_a_spoilt_model_is_recovered_without_labels(tmp_path: Path, teacher: Any) -> None:
    with job(tmp_path, teacher, calls()) as work:
        model = spoilt(work)
        before = work.drift(model)
        found = work.recover(model, Settings(epochs=4, rate=3e-3))
        after = work.drift(model)
    assert before.loss > 4 * after.loss
    assert after.value <= 0.05
    assert after.measure == "other classes"
    assert after.rows == CALLS - 2 * CALLS // 3
    assert found.steps == 4 * len(work.learn)
    assert found.cpu_s > 0
    assert not found.ended_early


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, teacher: Any) -> None:
    import torch

    models = []
    for seed in (3, 3, 4):
        folder = tmp_path / f"{len(models)}"
        folder.mkdir()
        with job(folder, teacher, calls(48), seed=seed) as work:
            model = spoilt(work)
            work.recover(model, Settings(epochs=1, seed=seed))
            models.append(model.state_dict())
    same = [torch.equal(a, b) for a, b in zip(models[0].values(), models[1].values(), strict=True)]
    assert all(same)
    assert not torch.equal(models[0]["5.weight"], models[2]["5.weight"])


def test_the_teacher_stays_as_it_is(tmp_path: Path, teacher: Any) -> None:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    with job(tmp_path, teacher, calls(48)) as work:
        work.recover(spoilt(work), Settings(epochs=1))
    for name, value in teacher.state_dict().items():
        assert bool((value == before[name]).all()), name


def test_recovery_ends_when_its_time_is_up(tmp_path: Path, teacher: Any) -> None:
    with job(tmp_path, teacher, calls(48), time_s=0.0) as work:
        found = work.recover(spoilt(work), Settings(epochs=9))
    assert found.ended_early
    assert found.steps == 0


def test_an_accepted_step_runs_in_the_models_place(tmp_path: Path, teacher: Any) -> None:
    with job(tmp_path, teacher, calls(48)) as work:
        step = work.accept("step-1", work.copy(), {"ratio": 0.0})
        place = work.folder_of(step)
        model = work.swap.load(place)
        (input_,) = work.calls[0]
        assert work.swap.relative_distance(teacher(input_), model(input_)) < 1e-3
        assert work.swap.read_signature(place)["weights_digest"] == work.digest
        assert step["parameters"] == sum(p.numel() for p in teacher.parameters())
        assert [each["name"] for each in read_steps(work.folder)] == ["step-1"]
        assert set(work.state(step)) == set(teacher.state_dict())


def test_too_few_inputs_are_refused(tmp_path: Path, teacher: Any) -> None:
    with pytest.raises(CannotCompressError, match="only 8 captured inputs"):  # noqa: SIM117
        with job(tmp_path, teacher, calls(12)):
            pass


def test_rows_that_depend_on_one_another_stay_in_their_calls() -> None:
    import torch

    each = [(torch.randn(4, 3),) for _ in range(5)]

    def alone(inputs: tuple[Any, ...]) -> dict[str, Any]:
        return {"output": inputs[0] * 2}

    def together(inputs: tuple[Any, ...]) -> dict[str, Any]:
        return {"output": inputs[0] - inputs[0].mean(0)}

    assert [b.rows for b in samples.batches(each, ["x"], alone, 8)] == [8, 8, 4]
    assert [b.rows for b in samples.batches(each, ["x"], together, 8)] == [4] * 5


def test_texts_are_padded_where_a_mask_tells_it() -> None:
    import torch

    each = [(torch.ones(1, n, dtype=torch.int64), torch.ones(1, n)) for n in (3, 5, 4, 30)]

    def answer(inputs: tuple[Any, ...]) -> dict[str, Any]:
        return {"output": (inputs[0] * inputs[1]).sum(1, keepdim=True)}

    found = samples.batches(each, ["input_ids", "attention_mask"], answer)
    assert [b.rows for b in found] == [3, 1]
    assert found[0].kept.sum(1).tolist() == [3, 4, 5]
    assert [b.rows for b in samples.batches(each, ["input_ids", "other"], answer)] == [1] * 4


def test_padding_is_not_learnt_from_unless_answers_depend_on_it() -> None:
    import torch

    words = torch.randint(1, 9, (4, 30))
    mask = (torch.arange(30) < torch.tensor([[3], [4], [30], [20]])).long()
    names = ["input_ids", "attention_mask"]

    def states(inputs: tuple[Any, ...]) -> dict[str, Any]:
        found = inputs[0] * inputs[1]
        return {"states": found[:, :, None].float(), "sum": found.sum(1, keepdim=True).float()}

    found = samples.batches([(words, mask)], names, states)
    assert [tuple(b.inputs[0].shape) for b in found] == [(2, 4), (2, 30)]
    assert [b.kept.sum(1).tolist() for b in found] == [[3, 4], [20, 30]]
    assert found[0].inputs[0][1].tolist() == words[1, :4].tolist()

    def of_all(inputs: tuple[Any, ...]) -> dict[str, Any]:
        return {"mean": inputs[0].float().mean(1, keepdim=True)}

    assert [b.inputs[0].shape[1] for b in samples.batches([(words, mask)], names, of_all)] == [30]
    # What else has one number for each position would no longer fit.
    beside = (words, mask, torch.zeros(4, 30, 30))
    found = samples.batches([beside], [*names, "pairs"], states)
    assert [b.inputs[0].shape[1] for b in found] == [30]


def test_each_kind_of_answer_has_its_own_drift() -> None:
    import torch

    own = torch.eye(6)
    same = losses.drift(
        [losses.Output("scores", "scores")], [{"scores": own}], [{"scores": 2 * own}], [None]
    )
    assert (same.value, same.rows) == (0.0, 6)
    moved = losses.drift(
        [losses.Output("scores", "scores")], [{"scores": own}], [{"scores": own.flip(0)}], [None]
    )
    assert moved.value == 1.0
    states = torch.randn(20, 5, 8)
    found = losses.drift(
        [losses.Output("last_hidden_state", "states")],
        [{"last_hidden_state": states * 3}],
        [{"last_hidden_state": states}],
        [None],
    )
    assert found.value == 0.0
    assert found.measure == "other neighbours"
