"""The body that residual networks for small images share: three stages of blocks."""

from collections.abc import Callable

from torch import nn

from pipeline.base.errors import UserError


def blocks_a_stage(depth: int, others: int, family: str) -> int:
    """The n of a network with `depth` = 6n + `others` layers; any other depth is a `UserError`."""
    blocks, rest = divmod(depth - others, 6)
    if rest == 0 and blocks >= 1:
        return blocks
    below = 6 * blocks + others
    nearest = f"{below} or {below + 6}" if blocks >= 1 else f"{6 + others}"
    raise UserError(
        f"params.yaml, architecture.depth: a {family} network has 6n+{others} layers, "
        f"not {depth}; nearest valid: {nearest}"
    )


def three_stages(
    block: Callable[[int, int, int], nn.Module], inputs: int, width: int, blocks: int
) -> dict[str, nn.Module]:
    """Stages of `width`, 2 `width` and 4 `width` channels, the second and third at half the resolution.

    `block` takes input channels, output channels and stride.
    """
    parts: dict[str, nn.Module] = {}
    for number, stride in enumerate((1, 2, 2), start=1):
        outputs = width * 2 ** (number - 1)
        rest = [block(outputs, outputs, 1) for _ in range(blocks - 1)]
        parts[f"stage{number}"] = nn.Sequential(block(inputs, outputs, stride), *rest)
        inputs = outputs
    return parts
