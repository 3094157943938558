"""What one more unit costs, told apart from the start."""

from __future__ import annotations

import pytest

from advisor.marginal import at, warm_stretch
from advisor.stopping import Stop, parse_stop, stopped_note
from advisor.switches import not_applied
from frugalwatch.errors import UsageError

S = 1_000_000_000
LOOKS = [n * S // 10 for n in range(200)]


def test_the_first_fifth_is_warm_up() -> None:
    done = [(2 * S + n * S // 10, n) for n in range(1, 101)]
    assert warm_stretch(done, LOOKS) == (4 * S, 12 * S, 80)


def test_a_long_first_unit_is_not_in_the_stretch() -> None:
    done = [(9 * S, 1), *((9 * S + n * S // 10, 1 + n) for n in range(1, 5))]
    found = warm_stretch(done, LOOKS)
    assert found is not None
    assert found[0] == 9 * S
    assert found[2] == 4


@pytest.mark.parametrize(
    ("done", "looks"),
    [
        ([], LOOKS),
        ([(S, 1), (3 * S, 3)], LOOKS),  # two units after the first
        ([(S, 1), (S + S // 5, 10)], LOOKS),  # 0.2 s
        ([(S, 1), (3 * S, 10)], [0, 4 * S]),  # nobody looked meanwhile
    ],
)
def test_too_little_work_tells_nothing(done: list[tuple[int, int]], looks: list[int]) -> None:
    assert warm_stretch(done, looks) is None


def test_a_figure_between_two_looks_is_in_proportion() -> None:
    points = [(0, 0), (10, 100), (20, 100)]
    assert [at(points, t) for t in (-5, 5, 15, 99)] == [0, 50, 100, 100]


def test_a_stop_is_a_number_and_a_unit() -> None:
    assert parse_stop("50") == Stop(50, "step")
    assert parse_stop("200 calls") == Stop(200, "call")
    assert parse_stop("3batches") == Stop(3, "batch")
    assert str(Stop(1, "user_step")) == "1 user step"
    for wrong in ("0", "many", "5 parsecs", ""):
        with pytest.raises(UsageError):
            parse_stop(wrong)


def test_a_replay_that_was_stopped_as_asked_is_known_by_its_note() -> None:
    assert stopped_note(["stopped after 50 steps, as asked"], Stop(50))
    assert not stopped_note(["stopped after 50 steps, as asked"], None)
    assert not stopped_note(["switch compile: applied (Net)"], Stop(50))


def test_a_switch_that_acted_nowhere_is_told_with_the_reason() -> None:
    notes = [
        "switch loader={'workers': 2, 'persistent': True}: applied (num_workers was 0)",
        "switch inference_mode: not applied: Net is in training mode",
        "switch inference_mode: applied (Other)",
        "switch compile: not applied: no C++ compiler",
    ]
    assert not_applied({"loader": {"workers": 2}, "inference_mode": True}, notes) == ""
    assert not_applied({"compile": True}, notes) == "compile: no C++ compiler"
    assert "said nothing" in not_applied({"tf32": True}, notes)
