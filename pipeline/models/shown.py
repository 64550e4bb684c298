"""How one view of an image is shown to networks of different inputs: at the size and normalisation of each.

Legend: B images, C channels, H = W edge in pixels, P numbers of a row.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.config.input import Input, Rendering

Show = Callable[[Tensor], Tensor]


class Shown:
    """Prepared views, and what is made of them for each network that is fed them.

    Where all of these have the input of the data, views are normalised as they are augmented, and shown as they are.
    Else views are pixels 0 .. 1, which each network is shown at its own size and normalised by its own statistics:
    those of stored pixels are resized for it, those of images that are stored encoded have been rendered for it.

    Args:
        inputs: Of all networks that are fed the same views; None is that of the data.
        mean, std: Of the data, per channel.
        device: Where views lie.
        rendering: How a network of the input of the data is shown images that are stored encoded; None where pixels are
            stored.

    Attributes:
        mean_C, std_C: What views are normalised by, as `augment` and `predict` take them.
        renderings: How views are rendered, each way once, as `data.feed` takes them; none where pixels are stored. Of
            several a view is one row of numbers, (B, P), which has the pixels of each rendering in turn.
    """

    def __init__(
        self,
        inputs: Iterable[Input | None],
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        rendering: Rendering | None = None,
    ) -> None:
        inputs = list(inputs)
        self._rendering = rendering
        ways = [] if rendering is None else [each.rendering if each else rendering for each in inputs]
        self.renderings = tuple(dict.fromkeys(ways))
        self._differs = any(each is not None for each in inputs)
        self._of_data_2C = tuple(torch.tensor(each, device=device) for each in (mean, std))
        shift, scale = ([0.0] * len(mean), [1.0] * len(std)) if self._differs else (mean, std)
        self.mean_C = torch.tensor(shift, device=device)
        self.std_C = torch.tensor(scale, device=device)

    def to(self, input: Input | None) -> Show:
        """What shows such views (B, C, H, W) to a network of that input."""
        if not self._differs:
            return _as_they_are
        if input is None:
            mean_C, std_C, size = *self._of_data_2C, None
        else:
            mean_C, std_C = (torch.tensor(each, device=self.mean_C.device) for each in (input.mean, input.std))
            size = input.size
        own = self._own(input)

        def show(x_BCHW: Tensor) -> Tensor:
            if own is not None:
                x_BCHW = own(x_BCHW)
            elif size is not None:
                x_BCHW = resized(x_BCHW, size)
            return (x_BCHW - mean_C[:, None, None]) / std_C[:, None, None]

        return show

    def _own(self, input: Input | None) -> Show | None:
        """What takes the pixels of a network's own rendering from views; None where pixels are stored."""
        if self._rendering is None:
            return None
        if len(self.renderings) == 1:
            return _as_they_are
        channels, rendering = len(self.mean_C), input.rendering if input else self._rendering
        ends = [*itertools.accumulate(channels * each.size**2 for each in self.renderings)]
        end, size = ends[self.renderings.index(rendering)], rendering.size
        return lambda x_BP: x_BP[:, end - channels * size**2 : end].view(len(x_BP), channels, size, size)


def resized(x_BCHW: Tensor, size: int) -> Tensor:
    """Images at another edge, bilinearly and without aliasing; themselves where they have it. float32.

    The same bits each time, and of an image whatever is in the batch beside it. Only forward: nothing learns of it.
    """
    if x_BCHW.shape[-1] == size:
        return x_BCHW
    return F.interpolate(x_BCHW, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _as_they_are(x_BCHW: Tensor) -> Tensor:
    return x_BCHW
