"""Students derived from a module and captured inputs alone: which there are, which is chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from advisor.in_job.compressing.job import CannotCompressError
from advisor.in_job.distilling import candidates, inputs, shallow, standard, students, thinned
from advisor.in_job.distilling.like import NoStandardError
from advisor.replacements import onnx_swap
from tests.advisor.in_job.compressing_kit import clusters, job, taught

pytestmark = pytest.mark.filterwarnings("ignore")


def network(width: int = 16) -> Any:
    """Residual blocks, so that widths must agree."""
    import torch

    torch.manual_seed(0)
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.norm(self.conv(x)) + x)

    return nn.Sequential(
        *(nn.Conv2d(1, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()),
        nn.Sequential(*(Block() for _ in range(3))),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 4)),
    )


def encoder() -> Any:
    """Words and a mask in, states of words out, by blocks in a list."""
    import torch

    torch.manual_seed(0)
    nn = torch.nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(60, 16)
            self.layer = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
                for _ in range(4)
            )

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.table(input_ids)
            for each in self.layer:
                mean = (states * attention_mask.unsqueeze(-1)).mean(1, keepdim=True)
                states = states + each(states + mean)
            return {"last_hidden_state": states}

    return Encoder().eval()


def images(count: int = 72) -> list[tuple[Any, ...]]:
    found, _ = clusters(count, 7)
    return [(each[None],) for each in found]


@pytest.fixture(scope="module")
def teacher() -> Any:
    pictures, kinds = clusters(256, 1)
    return taught(network(), pictures, kinds, steps=25)


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short ladders: each lesson takes a second or more."""
    monkeypatch.setattr(standard, "IMAGE_WIDTHS", (8, 16))
    monkeypatch.setattr(candidates, "_FACTORS", (0.25,))


def answers(folder: str, calls: list[tuple[Any, ...]]) -> Any:
    import torch

    model = onnx_swap.load(folder)
    return torch.cat([model(*call) for call in calls]).argmax(1)


def test_a_small_student_answers_as_the_network_did_without_labels(
    tmp_path: Path, teacher: Any
) -> None:
    import torch

    calls = images()
    with job(tmp_path, teacher, calls, copies=0, limit=0.05, planned_s=2) as work:
        found = students.build(work)
        steps = json.loads((tmp_path / "results" / "steps.json").read_text())
    assert found["stopped"] == "the smallest that keeps the limit"
    passed = [step for step in steps if step["passes"]]
    assert min(step["work"] for step in passed) < 0.05
    assert all(step["cpu_ratio"] < 0.95 for step in passed)
    assert [each["how"] for each in passed[0]["perturbed"]] == ["slight", "moderate", "strong"]
    new, _ = clusters(200, 99)
    fresh = [(each[None],) for each in new]
    with torch.no_grad():
        own = teacher(new).argmax(1)
    smallest = min(passed, key=lambda each: float(each["work"]))
    same = answers(str(tmp_path / "results" / smallest["name"]), fresh) == own
    assert float(same.float().mean()) > 0.9


def test_the_same_seed_makes_the_same_student_and_a_killed_recipe_goes_on(
    tmp_path: Path, teacher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with job(tmp_path / name, teacher, images(), copies=0, limit=0.05, planned_s=1) as work:
            students.build(work)
        tried = json.loads((tmp_path / name / "results" / "tried.json").read_text())
        made.append({key: (each["drift"], each["learnt"]["loss"]) for key, each in tried.items()})
    assert made[0] == made[1]
    # As if it had been killed before its last lesson: the others are not given again.
    path = tmp_path / "one" / "results" / "tried.json"
    tried = json.loads(path.read_text())
    last = list(tried)[-1]
    first = dict(tried)
    del tried[last]
    path.write_text(json.dumps(tried))
    steps = path.with_name("steps.json")
    name = last.partition(": ")[2]
    kept = [each for each in json.loads(steps.read_text()) if each["student"] != name]
    steps.write_text(json.dumps(kept))
    with job(tmp_path / "one", teacher, images(), copies=0, limit=0.05, planned_s=1) as work:
        said: list[str] = []
        monkeypatch.setattr(work, "say", said.append)
        students.build(work)
    assert sum(text.startswith("teaching") for text in said) == 1
    assert json.loads(path.read_text())[last]["drift"] == first[last]["drift"]


def test_no_student_is_kept_that_answers_otherwise(tmp_path: Path, teacher: Any) -> None:
    file = tmp_path / "blind.py"
    file.write_text(
        "import torch\n"
        "class Blind(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.bias = torch.nn.Parameter(torch.zeros(4))\n"
        "    def forward(self, x):\n"
        "        return x.mean((1, 2, 3)).unsqueeze(1) * 0 + self.bias\n"
        "def make_student(teacher):\n"
        "    return Blind()\n"
    )
    options: dict[str, Any] = {"factory": f"{file}:make_student", "limit": 0.01, "planned_s": 1}
    with (
        job(tmp_path, teacher, images(), copies=0, **options) as work,
        pytest.raises(CannotCompressError, match="none of 1 students keeps the limit"),
    ):
        students.build(work)


def test_thinner_copies_fit_together_whatever_goes_around_their_blocks(
    tmp_path: Path, teacher: Any
) -> None:
    with job(tmp_path, teacher, images(), copies=0) as work:
        model = thinned.thinned(work, 0.5)
        assert model[0].weight.shape[0] == 8
        assert model[3][0].norm.num_features == 8
        assert model(images(1)[0][0]).shape == (1, 4)
        ratio = candidates.multiplications(work, model) / candidates.multiplications(work, teacher)
        assert 0.2 < ratio < 0.3
        assert teacher[0].weight.shape[0] == 16


def test_an_encoder_loses_layers_and_keeps_what_the_others_know(tmp_path: Path) -> None:
    import torch

    module = encoder()
    generator = torch.Generator().manual_seed(0)
    calls = []
    for length in [4, 7, 9, 5] * 12:
        words = torch.randint(1, 60, (1, length), generator=generator)
        calls.append((words, torch.ones(1, length, dtype=torch.int64)))
    with job(tmp_path, module, calls, copies=0) as work:
        model = shallow.shallow(work, 2)
        assert len(model.layer) == 2
        assert torch.equal(model.layer[1][1].weight, module.layer[3][1].weight)
        assert torch.equal(model.layer[0][1].weight, module.layer[1][1].weight)
        found, reasons = candidates.ladders(work)
        assert [[each.name for each in ladder] for ladder in found] == [
            ["1 of 4 blocks", "2 of 4 blocks", "3 of 4 blocks"]
        ]
        assert any("no standard student" in reason for reason in reasons)


def test_rows_of_numbers_get_a_few_layers_and_answer_in_shares_if_the_teacher_does(
    tmp_path: Path,
) -> None:
    import torch

    torch.manual_seed(0)
    nn = torch.nn
    module = nn.Sequential(
        *(nn.Linear(6, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()),
        *(nn.Linear(256, 3), nn.Softmax(-1)),
    ).eval()
    calls = [(torch.randn(1, 6),) for _ in range(60)]
    with job(tmp_path, module, calls, copies=0) as work:
        names = [name for name, _ in standard.students(work)]
        assert names[:2] == ["linear", "16 hidden units"]
        model = standard.students(work)[1][1]()
        shares = model(torch.randn(5, 6))
        assert torch.allclose(shares.sum(1), torch.ones(5))


def test_images_of_any_scale_are_learnt_from_alike(tmp_path: Path) -> None:
    import torch

    dim = torch.rand(8, 3, 16, 16)
    answers = []
    for scale in (torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1e-4, 255.0, 1.0])):
        images = dim * scale.reshape(1, 3, 1, 1) + 0.5 * scale.reshape(1, 3, 1, 1)
        spread = standard._scale([images], (0, 2, 3))[1]
        torch.manual_seed(0)
        student = standard._images(images.shape, spread, 8, 5, lambda found: found)
        answers.append(student.train()(images))
    assert torch.allclose(*answers, atol=1e-3)
    assert float(answers[0].detach().std()) > 0.05


def test_what_answers_with_several_tensors_has_no_standard_student(tmp_path: Path) -> None:
    import torch

    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(6, 3), torch.nn.Linear(6, 2)

        def forward(self, x: Any) -> Any:
            return self.a(x), self.b(x)

    calls = [(torch.randn(1, 6),) for _ in range(60)]
    with (
        job(tmp_path, Two().eval(), calls, copies=0) as work,
        pytest.raises(NoStandardError, match="more than one"),
    ):
        standard.students(work)


def test_codes_stay_codes_and_the_mask_stays_a_mask_in_changed_inputs() -> None:
    import torch

    from advisor.in_job.compressing.samples import Batch

    generator = torch.Generator().manual_seed(0)
    rows = torch.cat([torch.randint(0, 3, (40, 1)).float(), torch.randn(40, 1)], 1)
    new = inputs.changed(Batch((rows,), 40), generator, 1.0).inputs[0]
    assert bool((new[:, 0] == new[:, 0].round()).all())
    assert not bool(torch.equal(new[:, 1], rows[:, 1]))
    mask = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]])
    words = torch.tensor([[101, 5, 6, 7, 102, 0], [101, 8, 9, 10, 11, 102]])
    cut = inputs.changed(Batch((words, mask), 2, 1), generator, 0.5)
    for row, kept in zip(*[t.tolist() for t in cut.inputs], strict=True):
        length = sum(kept)
        assert kept == [1] * length + [0] * (6 - length)
        assert row[0] == 101
        assert row[length - 1] == 102


def test_a_students_own_factory_comes_instead_of_all_others(tmp_path: Path, teacher: Any) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "def make_student(teacher):\n"
        "    nn = torch.nn\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(144, 4))\n"
    )
    options: dict[str, Any] = {"factory": f"{file}:make_student", "limit": 0.1, "planned_s": 3}
    with job(tmp_path, teacher, images(), copies=0, **options) as work:
        found, _ = candidates.ladders(work)
        assert [each.name for each in found[0]] == ["make_student"]
        students.build(work)
        assert work.steps[-1]["kind"] == "the user's"


def test_a_threshold_lets_no_more_answers_change_than_the_limit(
    tmp_path: Path, teacher: Any
) -> None:
    import torch

    from advisor.in_job.distilling.confidence import rule_of

    class Half(torch.nn.Module):
        """As the teacher, but unsure and wrong about the last class."""

        def forward(self, x: Any) -> Any:
            found = teacher(x)
            wrong = found.argmax(1, keepdim=True) == 3
            return torch.where(wrong, 0.01 * found.flip(1), found)

    with job(tmp_path, teacher, images(), copies=0, limit=0.02) as work:
        rule = rule_of(work, Half())
        same = rule_of(work, teacher)
    assert rule is not None
    assert same is not None
    assert rule["others"] <= 0.02
    assert rule["threshold"] > 0.25
    assert 0.02 < rule["escalated"] < 0.5
    assert same["escalated"] == 0.0


def test_a_head_in_the_middle_answers_where_it_is_sure(tmp_path: Path, teacher: Any) -> None:
    from advisor.in_job.distilling import exits

    with job(tmp_path, teacher, images(), copies=0, limit=0.1) as work:
        found = exits.build(work)
        steps = json.loads((tmp_path / "results" / "steps.json").read_text())
    assert found["stopped"] == "all depths were tried"
    assert [step["kind"] for step in steps] == ["exit"] * len(steps)
    assert steps[0]["work"] < 0.8
    assert not any(step["passes"] for step in steps)
    assert all(step["cascade"]["threshold"] > 0 for step in steps)
