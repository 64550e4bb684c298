"""Which stream of views a node labels."""

import pytest

from pipeline.data.streams import ENSEMBLE, FIRST, TRAIN, to_label


@pytest.mark.parametrize(
    ("trained_on", "labelled"),
    [
        ((), "labels"),  # imported: trained on none of ours
        (("train",), "labels"),
        (("labels",), "labels_2"),
        (("labels_2",), "labels"),
        (("ensemble",), "labels"),
        (("labels", "labels_2"), "labels_3"),  # tuned on another stream than it was trained on
        (("ensemble", "labels", "train"), "labels_2"),
    ],
    ids=str,
)
def test_a_node_labels_the_first_label_stream_that_it_was_not_trained_on(
    trained_on: tuple[str, ...], labelled: str
) -> None:
    assert to_label(trained_on) == labelled


def test_the_names_are_those_that_old_labels_and_nodes_have() -> None:
    assert (TRAIN, FIRST, ENSEMBLE) == ("train", "labels", "ensemble")


def test_a_chain_alternates_between_two() -> None:
    stream, seen = TRAIN, []
    for _ in range(5):
        stream = to_label((stream,))
        seen.append(stream)
    assert seen == ["labels", "labels_2", "labels", "labels_2", "labels"]
