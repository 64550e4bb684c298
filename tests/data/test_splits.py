"""Splits by a hash: properties over any classes, groups and copies, and what one more image may change."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import UserError
from pipeline.config.data import Data
from pipeline.data.images import Source
from pipeline.data.names import SPLITS
from pipeline.data.splits import Chosen, borders, choose, noisy, unite

NOTHING: Any = None  # the images: none is read


@dataclass(frozen=True)
class Row:
    """What a split may hang on."""

    label: int
    content: str
    group: str | None = None


def chosen(rows: list[Row], *, seed: int = 0, own: list[str] | None = None, **keys: Any) -> Chosen:
    labels = np.array([row.label for row in rows])
    ids = np.array([[*hashlib.sha256(row.content.encode()).digest()] for row in rows], dtype=np.uint8)
    groups = [row.group for row in rows] if any(row.group for row in rows) else None
    classes = tuple("abcdefgh"[: labels.max() + 1])
    source = Source(NOTHING, labels, classes, own, groups)  # pyright: ignore[reportArgumentType]
    return choose(source, ids, Data.model_validate(keys), seed)


def places(rows: list[Row], **keys: Any) -> dict[Row, str]:
    """The split of each row; of equal ones there must be one split."""
    found: dict[Row, str] = {}
    for split, members in chosen(rows, **keys).rows.items():
        for row in members.tolist():
            assert found.setdefault(rows[row], split) == split
    return found


def plain(counts: list[int]) -> list[Row]:
    return [Row(label, f"{label}/{number}") for label, count in enumerate(counts) for number in range(count)]


def united(rows: list[Row]) -> list[set[tuple[str, str]]]:
    """Bytes and groups that hang together, by a twin that merges sets until nothing changes."""
    found: list[set[tuple[str, str]]] = []
    for row in rows:
        merged = {("bytes", row.content), *([("group", row.group)] if row.group else [])}
        while touched := [each for each in found if each & merged]:
            merged |= set().union(*touched)
            found = [each for each in found if each not in touched]
        found.append(merged)
    return found


COUNTS = st.lists(st.integers(3, 40), min_size=2, max_size=4)
SHARES = st.floats(0.01, 0.99)
# Bits of groups and copies over enough rows of no group that each class can be split.
MIXED = st.lists(
    st.builds(Row, st.integers(0, 1), st.sampled_from("stuvwxyz"), st.sampled_from([None, *"ABCD"])), max_size=25
).map(lambda more: plain([12, 12]) + more)


@settings(max_examples=60, deadline=None)
@given(COUNTS, SHARES, SHARES, st.integers(0, 5))
def test_every_row_is_in_one_split_and_each_class_in_each(
    counts: list[int], test: float, validation: float, seed: int
) -> None:
    rows = plain(counts)
    found = chosen(rows, seed=seed, test=test, validation=validation).rows
    assert [*found] == [*SPLITS]
    assert sorted(np.concatenate([*found.values()]).tolist()) == [*range(len(rows))]
    for members in found.values():
        assert members.tolist() == sorted(members.tolist())
        assert {rows[row].label for row in members} == {*range(len(counts))}


@settings(max_examples=60, deadline=None)
@given(MIXED, st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing(rows: list[Row], draw: Any) -> None:
    shuffled = draw.sample(rows, len(rows))
    assert places(rows) == places(shuffled)


@settings(max_examples=100, deadline=None)
@given(MIXED)
def test_no_unit_is_divided_however_rows_hang_together(rows: list[Row]) -> None:
    found = places(rows)
    for unit in united(rows):
        members = [row for row in rows if ("bytes", row.content) in unit]
        assert len({found[row] for row in members}) == 1


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=3, max_size=30),
    st.lists(st.integers(1, 6), min_size=3, max_size=8),
    SHARES,
    SHARES,
    st.integers(0, 30),
)
def test_one_more_image_moves_one_unit_at_most_across_each_border(
    sizes: list[int], others: list[int], test: float, validation: float, joined: int
) -> None:
    rows = [
        Row(label, f"{label} {unit} {number}", f"g{label} {unit}")
        for label, each in enumerate((sizes, others))
        for unit, size in enumerate(each)
        for number in range(size)
    ]
    # The one more image: a unit of its own, or one more of a unit that is there.
    group = f"g0 {joined}" if joined < len(sizes) else None
    more = [*rows, Row(0, "one more", group)]
    before, after = (places(each, test=test, validation=validation) for each in (rows, more))
    moved = Counter((before[row], after[row], row.group) for row in rows if before[row] != after[row])
    across = Counter(frozenset(pair) for *pair, _ in moved)
    assert all(count == 1 for count in across.values()), moved
    assert frozenset(("test", "train")) not in across or len(sizes) < 5
    assert not any(group.startswith("g1") for *_, group in moved if group)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=30), st.lists(SHARES, min_size=1, max_size=2, unique=True))
def test_a_border_lies_where_most_of_a_unit_is_on_its_side(sizes: list[int], shares: list[float]) -> None:
    size_U, targets = np.array(sizes), sorted(shares)
    ends = borders(size_U, targets)
    assert [*ends] == sorted({*ends}) and ends[0] >= 1 and ends[-1] < len(sizes)
    whole = sum(sizes)
    for end, target in zip(ends, targets, strict=True):
        off = abs(sum(sizes[:end]) - target * whole)
        neighbours = {each for each in (end - 1, end + 1) if 1 <= each < len(sizes) and each not in ends}
        if len(ends) == 1:
            assert all(off <= abs(sum(sizes[:each]) - target * whole) + 1e-9 for each in neighbours)


def test_shares_are_kept() -> None:
    found = chosen(plain([1000, 100]), test=0.2, validation=0.25).rows
    assert [np.bincount([0] * 1000 + [1] * 100, minlength=2)[0], len(found["test"])] == [1000, 220]
    assert len(found["validation"]) == 220 and len(found["train"]) == 660


def test_the_seed_decides() -> None:
    rows = plain([40, 40])
    assert places(rows, seed=0) == places(rows, seed=0) != places(rows, seed=1)


def test_a_known_split_stays_what_it_was() -> None:
    """So that no later change of the code moves anybody's images without a word."""
    found = chosen(plain([6, 6])).rows
    assert {split: members.tolist() for split, members in found.items()} == KNOWN


KNOWN = {"train": [0, 2, 4, 5, 7, 8, 9, 10], "validation": [1, 6], "test": [3, 11]}


def test_a_group_is_the_id_and_not_what_lies_in_it() -> None:
    """One more shot of a scene, or all of its shots taken anew, leave the scene where it is."""
    rows = [
        Row(label, f"{label} {scene} {shot}", f"{label} {scene}")
        for label in (0, 1)
        for scene in range(20)
        for shot in range(3)
    ]
    again = [replace(row, content=f"again {row.content}") for row in rows]
    assert {row.group: split for row, split in places(rows).items()} == {
        row.group: split for row, split in places(again).items()
    }


def test_a_unit_belongs_to_the_class_of_most_of_its_rows_and_to_the_first_of_equals() -> None:
    """Seen by which class can be divided: one needs three units."""

    def rows(first: int, second: int) -> list[Row]:
        mixed = [
            Row(label, f"m{label}{number}", "mixed")
            for label, count in ((0, first), (1, second))
            for number in range(count)
        ]
        return plain([2, 2]) + mixed

    for first, second, lacking in ((1, 1, "b"), (2, 1, "b"), (1, 2, "a")):
        with pytest.raises(
            UserError, match=rf"class '{lacking}' has too few images \(2; data.test and data.validation"
        ):
            chosen(rows(first, second))


def test_too_few_units_are_named_as_such() -> None:
    rows = [*plain([9, 0]), *[Row(1, "same")] * 5, Row(1, "other")]
    sentence = r"class 'b' has too few images \(6, which are 2 where copies and groups count once; data.test and"
    with pytest.raises(UserError, match=sentence):
        chosen(rows)


def test_subsets_are_nested_and_no_share_moves_them() -> None:
    rows = plain([60, 60])
    small, large = (chosen(rows, per_class=k).rows["train"] for k in (5, 12))
    assert {*small.tolist()} < {*large.tolist()}
    assert Counter(rows[row].label for row in large) == {0: 12, 1: 12}
    assert chosen(rows, per_class=12, test=0.05, validation=0.05).rows["train"].tolist() == large.tolist()
    for split in ("validation", "test"):
        assert chosen(rows, per_class=5).rows[split].tolist() == chosen(rows).rows[split].tolist()


def test_a_subset_takes_part_of_a_unit_where_it_must() -> None:
    rows = [Row(label, f"{label} {n}", f"{label} {n // 4}") for label in (0, 1) for n in range(80)]
    assert Counter(rows[row].label for row in chosen(rows, per_class=5).rows["train"]) == {0: 5, 1: 5}


def test_noise_is_exact_nested_and_an_images_own() -> None:
    rows = plain([300, 300])
    found = {share: chosen(rows, label_noise=share) for share in (0.0, 0.2, 0.5, 1.0)}
    changed = {share: each.rows["train"][each.labels != each.true_labels] for share, each in found.items()}
    assert {share: len(each) for share, each in changed.items()} == {
        share: round(share * len(each.labels)) for share, each in found.items()
    }
    assert {*changed[0.2].tolist()} < {*changed[0.5].tolist()}
    fewer = chosen(rows, label_noise=0.5, per_class=100)
    label_of = dict(zip(found[1.0].rows["train"].tolist(), found[1.0].labels.tolist(), strict=True))
    for row, label in zip(fewer.rows["train"].tolist(), fewer.labels.tolist(), strict=True):
        assert label in (rows[row].label, label_of[row])


def test_every_other_class_is_drawn_evenly() -> None:
    ids = np.frombuffer(b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(9000)), np.uint8).reshape(-1, 32)
    labels = np.arange(9000) % 4
    some = noisy(labels, ids, 4, 0.3, 0)
    moved = some != labels
    assert moved.sum() == 2700
    away = np.bincount((some - labels)[moved] % 4, minlength=4) / 2700
    assert away[0] == 0 and abs(away[1:] - 1 / 3).max() < 0.04
    assert (noisy(labels, ids, 4, 0.3, 1) != some).any()


def test_rows_that_are_left_out_are_nowhere() -> None:
    rows = plain([20, 20])
    labels = np.array([row.label for row in rows])
    ids = np.array([[*hashlib.sha256(row.content.encode()).digest()] for row in rows], dtype=np.uint8)
    found = choose(Source(NOTHING, labels, ("a", "b")), ids, Data(), 0, [3, 25]).rows
    assert sorted(np.concatenate([*found.values()]).tolist()) == [n for n in range(40) if n not in (3, 25)]


OWN = ["train"] * 8 + ["test"] * 2


@pytest.mark.parametrize(
    ("own", "given", "counts"),
    [
        ([*OWN], {"validation": 0.25}, (12, 4, 4)),
        ([*["train"] * 7, *["validation"] * 3], {"test": 0.4}, (8, 6, 6)),
        ([*["train"] * 6, *["validation"] * 2, *["test"] * 2], {}, (12, 4, 4)),
        (["train"] * 10, {}, (12, 4, 4)),
    ],
)
def test_splits_of_the_source_are_kept_and_the_others_held_out_of_train(
    own: list[str], given: dict[str, Any], counts: tuple[int, ...]
) -> None:
    rows = plain([10, 10])
    found = chosen(rows, own=own * 2, **given).rows
    assert tuple(len(members) for members in found.values()) == counts
    for split in {*own} - {"train"}:
        assert found[split].tolist() == [row for row in range(20) if own[row % 10] == split]  # type: ignore[index]


@pytest.mark.parametrize(("key", "own"), [("test", "test"), ("validation", "validation")])
def test_a_share_of_what_the_source_has_itself_is_refused(key: str, own: str) -> None:
    given, share = ["train"] * 7 + [own] * 3, dict[str, Any]({key: 0.3})
    with pytest.raises(
        UserError, match=rf"data.{key} has no effect where the data have {own} images of their own: set"
    ):
        chosen(plain([10, 10]), own=given * 2, **share)
    chosen(plain([10, 10]), own=given * 2, **{**share, key: 0.2})


def test_splits_of_the_source_need_each_class_and_a_training_image() -> None:
    with pytest.raises(UserError, match=r"no image in test has the class 'b': each split needs images of each class"):
        chosen(plain([10, 10]), own=OWN + ["train"] * 10)
    with pytest.raises(UserError, match=r"no image in train"):
        chosen(plain([10, 10]), own=["test"] * 20)


def test_units_do_not_reach_over_splits_of_the_source() -> None:
    """What is in train stays there, whatever else its bytes lie among: `prepare` says so."""
    rows = [*plain([9, 9]), Row(0, "0/0"), Row(1, "1/0")]
    found = chosen(rows, own=["train"] * 18 + ["test"] * 2).rows
    assert found["test"].tolist() == [18, 19]
    assert len(found["train"]) + len(found["validation"]) == 18


def test_a_unit_of_several_groups_has_the_least_of_them_as_its_id() -> None:
    ids = np.array([[1] * 32, [1] * 32, [2] * 32], dtype=np.uint8)
    ranks = [
        unite(np.arange(3), np.zeros(3, dtype=np.int64), ids, groups, 0).rank_U4[0].tolist()
        for groups in (["zoo", "ant", None], ["ant", "zoo", None], ["ant", "ant", None], ["zoo", "zoo", None])
    ]
    assert ranks[0] == ranks[1] == ranks[2] != ranks[3]
