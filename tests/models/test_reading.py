"""Layers read as maps: which axis is what, and whether positions are those of the image."""

import pytest
import torch
from torch import Tensor

from pipeline.models.reading import QUARTERS, Reading, likeliest, readings

FIRST, LAST = Reading(), Reading("channels last")


def changed(edge: int, channels: int) -> Tensor:
    """Maps (1 + quarters, C, H, W) that change just where the image does, a pixel of it for a position."""
    torch.manual_seed(0)
    maps = torch.randn(1, channels, edge, edge).repeat(1 + len(QUARTERS), 1, 1, 1)
    half = edge // 2
    for each, (row, column) in zip(maps[1:], QUARTERS, strict=True):
        each[:, half * row : half * (row + 1), half * column : half * (column + 1)] += 1
    return maps


def tokens(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2)


@pytest.mark.parametrize(
    ("shape", "extra", "able"),
    [
        ((2, 5, 4, 4), None, [FIRST]),
        ((2, 4, 4, 5), None, [LAST]),
        ((2, 4, 4, 4), None, [FIRST, LAST]),
        ((2, 9, 1, 1), None, [FIRST]),
        ((2, 16, 5), None, [Reading("tokens")]),
        ((2, 17, 5), None, [Reading("tokens", front=1), Reading("tokens", back=1)]),
        ((2, 25, 5), 9, [Reading("tokens", front=9), Reading("tokens", back=9)]),
        ((2, 16, 5), 1, [Reading("tokens")]),
        ((2, 512, 8), None, []),
        ((2, 3, 4, 5), None, []),
        ((2, 5), None, []),
    ],
)
def test_the_shape_says_what_is_possible(shape: tuple[int, ...], extra: int | None, able: list[Reading]):
    assert [*readings(torch.Size(shape), extra)] == able


@pytest.mark.parametrize(
    ("kept", "reading"),
    [
        (lambda maps: maps, FIRST),
        (lambda maps: maps.permute(0, 2, 3, 1), LAST),
        (tokens, Reading("tokens")),
        (lambda maps: torch.cat([torch.ones(3, 2, 8), tokens(maps)], 1), Reading("tokens", front=2)),
        (lambda maps: torch.cat([tokens(maps), torch.ones(3, 2, 8)], 1), Reading("tokens", back=2)),
    ],
)
def test_the_reading_that_puts_a_change_where_the_image_changed_is_found_and_gives_the_map(kept, reading: Reading):
    maps = changed(8, 8)
    x = kept(maps)
    assert likeliest(x, readings(x.shape)) == reading
    assert torch.equal(reading(x), maps)
    assert reading.edge(x.shape) == 8


def test_tokens_in_another_order_than_the_image_are_no_map():
    x = tokens(changed(8, 8))[:, torch.randperm(64)]
    assert likeliest(x, readings(x.shape)) is None


@pytest.mark.parametrize("edge", [1, 4])
def test_where_nothing_can_be_told_the_likeliest_is_taken(edge: int):
    """As of a map of one pixel, and of one in which attention has mixed all."""
    x = tokens(torch.randn(1, 8, edge, edge) + torch.arange(3.0)[:, None, None, None])
    assert likeliest(x, readings(x.shape)) == Reading("tokens")
