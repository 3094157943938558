"""Each gate on answers that were changed by a known amount."""

from __future__ import annotations

import pytest

from advisor.gates import classification, embedding, generation, regression
from advisor.gates.intervals import Interval, wilson
from advisor.gates.result import GateResult, decide, more_inputs

np = pytest.importorskip("numpy")


def flipped(count: int, flips: int, classes: int = 10) -> GateResult:
    """Scores of so many inputs, of which so many change their class."""
    source = np.random.default_rng(0)
    scores = source.normal(size=(count, classes)).astype(np.float32)
    own = scores.argmax(1)
    changed = scores.copy()
    chosen = source.choice(count, flips, replace=False)
    changed[chosen, (own[chosen] + 1) % classes] = scores.max() + 1
    return classification.judge(scores, changed, 0.99)


@pytest.mark.parametrize(
    ("count", "flips", "acceptable"),
    [
        (299, 0, None),  # under 300 nothing is told
        (299, 150, None),
        (300, 0, True),
        (400, 2, None),  # 99.5 %, but its bound is not
        (400, 40, False),
        (1000, 9, True),  # with a thousand the value decides
        (1000, 11, False),
    ],
)
def test_agreement_is_the_share_of_classes_that_stay(
    count: int, flips: int, acceptable: bool | None
) -> None:
    found = flipped(count, flips)
    assert found.value == pytest.approx(1 - flips / count)
    assert (found.low, found.high) == wilson(count - flips, count)[1:]
    assert (found.judged, found.acceptable) == (count, acceptable)
    assert ("too few to tell" in found.sentence) == (acceptable is None)


def test_a_rare_class_that_is_lost_speaks_against_the_change() -> None:
    own = np.r_[np.zeros(3980, int), np.full(20, 7)]
    found = classification.judge(own, np.zeros(4000, int), 0.99)
    assert found.value == 0.995
    assert found.acceptable is False
    assert found.worst is not None
    assert (found.worst.index, found.worst.inputs, found.worst.value) == (7, 20, 0)
    assert "class 7 is kept in 0 % of its 20 inputs" in found.sentence


def test_scores_that_are_no_numbers_are_another_class() -> None:
    scores = np.eye(4, dtype=np.float32).repeat(100, axis=0)
    assert classification.judge(scores, np.full_like(scores, np.nan), 0.99).value == 0


def test_one_score_for_yes_has_two_classes() -> None:
    scores = np.linspace(-1, 1, 400)[:, None]
    assert classification.judge(scores, scores - 0.1, 0.9).value == pytest.approx(0.95, abs=0.01)
    shares = np.linspace(0, 1, 400)[:, None]
    assert classification.judge(shares, np.clip(shares - 0.1, 0, 1), 0.8).value == pytest.approx(
        0.9, abs=0.01
    )


def test_divergence_of_scores_and_of_shares_is_the_same() -> None:
    source = np.random.default_rng(0)
    own, new = source.normal(size=(2, 50, 5))
    shares = [np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (own, new)]
    by_hand = float((shares[0] * np.log(shares[0] / shares[1])).sum(1).mean())
    assert classification.divergence(own, new) == pytest.approx(by_hand)
    assert classification.divergence(*shares) == pytest.approx(by_hand)


def vectors(count: int, width: int = 32) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, width)).astype(np.float32)


def by_hand(own: np.ndarray, new: np.ndarray) -> float:
    """The overlap in one pool, by sorting."""

    def nearest(values: np.ndarray) -> list[set[int]]:
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        likeness = unit @ unit.T
        np.fill_diagonal(likeness, -2)
        return [set(row[:10]) for row in np.argsort(-likeness, axis=1)]

    return float(
        np.mean([len(a & b) / 10 for a, b in zip(nearest(own), nearest(new), strict=True)])
    )


def test_overlap_is_what_sorting_by_hand_finds() -> None:
    own = vectors(200)
    new = own + 0.1 * vectors(400)[200:]
    found = embedding.judge(own, new, 0.97)
    assert found.value == pytest.approx(by_hand(own, new))
    assert 0.5 < found.value < 0.97
    assert found.low < found.value < found.high


def test_turning_and_scaling_the_space_changes_no_neighbours() -> None:
    own = vectors(600)
    turn, _ = np.linalg.qr(vectors(32))
    found = embedding.judge(own, 3 * own @ turn, 0.97)
    assert (found.value, found.acceptable) == (1, True)
    assert found.shown["cosine_mean"] < 0.5  # which is shown, and decides nothing
    assert found.shown["spearman"] == pytest.approx(1, abs=1e-6)


def test_embeddings_that_collapse_keep_no_neighbours() -> None:
    own = vectors(400)
    for changed in (np.ones_like(own), np.zeros_like(own), np.full_like(own, np.nan)):
        found = embedding.judge(own, changed, 0.97)
        assert found.value < 0.1
        assert found.acceptable is False


def test_neighbours_that_are_equally_near_may_change_places() -> None:
    own = vectors(30).repeat(20, axis=0)  # twenty of each, all of one place
    again = own + 1e-8 * vectors(600)
    assert embedding.judge(own, again, 0.97).value == 1


def test_every_input_is_in_a_pool_of_256_however_many_there_are() -> None:
    for count in (300, 512, 1000, 4001):
        found = embedding.pools(count)
        assert {len(each) for each in found} == {256}
        assert set(np.concatenate(found)) == set(range(count))


def test_more_inputs_do_not_change_what_overlap_means() -> None:
    own, noise = vectors(3000), 0.05 * np.random.default_rng(9).normal(size=(3000, 32))
    few = embedding.judge(own[:400], own[:400] + noise[:400], 0.97)
    many = embedding.judge(own, own + noise, 0.97)
    assert few.value == pytest.approx(many.value, abs=0.01)


def test_pooling_leaves_out_padding() -> None:
    states = np.zeros((2, 3, 2), dtype=np.float32)
    states[0] = [[1, 2], [3, 4], [100, 100]]
    found = embedding.pooled(states, np.array([[1, 1, 0], [0, 0, 0]]))
    assert found.tolist() == [[2, 3], [0, 0]]


def test_an_error_is_relative_to_the_number_or_to_what_is_usual() -> None:
    own = np.r_[np.full(399, 10.0), 0.0]
    new = own + 0.05
    found = regression.judge(own, new, 0.01)
    assert found.value == pytest.approx(0.005)  # and so for the one that is zero
    assert found.acceptable is True
    assert regression.judge(own, own * 1.02, 0.01).acceptable is False
    assert regression.judge(own, own + np.nan, 0.01).acceptable is False
    assert regression.judge(own, own, 0.01).value == 0


def test_a_twentieth_of_the_numbers_may_be_further_off() -> None:
    own = np.full(1000, 1.0)
    new = own.copy()
    new[:40] = 2
    assert regression.judge(own, new, 0.01).value == 0
    new[:60] = 2
    assert regression.judge(own, new, 0.01).value == 1


def test_tokens_are_counted_by_place_and_padding_is_none() -> None:
    own = [np.array([5, 6, 7, -1])] * 400
    new = [np.array([5, 6, 8, -1])] * 40 + own[40:]
    found = generation.judge(own, new, 0.99)
    assert found.value == pytest.approx(1 - 40 / 1200)
    assert found.shown["texts_unchanged"] == 0.9
    assert found.acceptable is False


def test_a_token_that_only_one_side_has_is_another_one() -> None:
    found = generation.judge([np.array([1, 2, 3, 4])] * 300, [np.array([1, 2])] * 300, 0.99)
    assert found.value == 0.5


def test_how_many_more_are_needed_shrinks_with_what_is_there() -> None:
    assert more_inputs(wilson(100, 100), 0.99, 100) > more_inputs(wilson(250, 250), 0.99, 250)
    close = Interval(0.992, 0.985, 0.997)
    assert 300 < more_inputs(close, 0.99, 400) <= 860  # a thousand at most, of which 400 are there
    assert decide(close, 0.99, 400) is None
    assert decide(close, 0.99, 1000) is True
