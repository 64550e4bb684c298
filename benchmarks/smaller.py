"""timm's networks of many families, made smaller: each step runs or says why not, and what comes of it is counted.

Built without pretrained weights, so that nothing is said of accuracy: int8 looks far worse on random weights than it
is. The file that ships is compared with torch, and its time an image with that of the file of the whole network.

Legend: B batch, C classes, H = W edge in pixels.
"""

import resource
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from benchmarks import apart
from benchmarks.apart import Way
from pipeline.base.errors import UserError
from pipeline.compression import quantise
from pipeline.compression.card import Card
from pipeline.compression.export_onnx import check, export
from pipeline.compression.factorise import factorise
from pipeline.compression.filters import shrink
from pipeline.compression.merge import merged
from pipeline.compression.runtime import Runtime
from pipeline.evaluation import cost

NAMES = """
    resnet18 regnety_002 densenet121 resnest14d hrnet_w18_small cspresnet50 repvgg_a0 efficientnet_b0
    mobilenetv2_050 mobilenetv3_small_050 mobilenetv4_conv_small ghostnet_050 rexnet_100 convnext_atto
    vit_tiny_patch16_224 deit_tiny_distilled_patch16_224 beit_base_patch16_224 xcit_nano_12_p16_224
    swin_tiny_patch4_window7_224 pvt_v2_b0 coatnet_pico_rw_224 maxvit_pico_rw_256 levit_128s efficientformer_l1
    mobilevit_xxs fastvit_t8 poolformer_s12 mixer_s32_224 lcnet_035 tinynet_e
""".split()  # noqa: SIM905
CLASSES = 10
LEFT = 0.7  # share of the FLOPs
CALIBRATED = 16  # images
# Of the largest logit: how far a file may be from torch.
FAR = 1e-4
STEPS = ("built", "exported", "pruned", "factorised", "quantised")


class Smaller(Way):
    """One network on its way."""

    STEPS = STEPS
    FIRST = ("built", "exported")
    NEEDS: ClassVar[Mapping[str, str]] = {}

    def built(self) -> dict[str, Any]:
        """A network, and the size that it is made for."""
        import timm  # pyright: ignore[reportMissingImports] an extra

        torch.manual_seed(0)
        self.model: nn.Module = timm.create_model(self.name, pretrained=False, num_classes=CLASSES).eval()
        self.size: int = self.model.pretrained_cfg["input_size"][-1]  # pyright: ignore
        drawn = np.random.default_rng(0)
        self.images_BCHW = drawn.integers(0, 256, (CALIBRATED, 3, self.size, self.size), np.uint8)
        flops = cost.flops(self.model, 3, self.size)
        return {"built": True, "size": self.size, "parameters": cost.parameters(self.model), "flops": flops}

    def exported(self) -> dict[str, Any]:
        """The file of the whole network, which the others are timed beside."""
        self.whole = self._file(self.model, "whole")
        return {"exported": {"bytes": cost.file_bytes(self.whole)}}

    def pruned(self) -> dict[str, Any]:
        """Without its least important channels."""
        return self._smaller("pruned", shrink(self.model, channels=3, size=self.size, flops=LEFT))

    def factorised(self) -> dict[str, Any]:
        """With layers in two."""
        return self._smaller("factorised", factorise(self.model, channels=3, size=self.size, flops=LEFT)[0])

    def quantised(self) -> dict[str, Any]:
        """In int8; the peak of this process's memory after all."""
        path = self.folder / "int8.onnx"
        pixels_BCHW = self.images_BCHW.astype(np.float32) / 255
        quantise.static(self.whole, path, pixels_BCHW, batch_size=min(8, Runtime(self.whole).images_a_pass))
        if not np.isfinite(Runtime(path).logits(self.images_BCHW[:4])).all():
            raise UserError("it answers with what is not finite")
        found = {"bytes": cost.file_bytes(path), **self._timed(path)}
        return {"quantised": found, "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}

    def _smaller(self, step: str, model: nn.Module) -> dict[str, Any]:
        path = self._file(model, step)
        left = cost.flops(model, 3, self.size) / cost.flops(self.model, 3, self.size)
        return {step: {"flops": left, "bytes": cost.file_bytes(path), **self._timed(path)}}

    def _file(self, model: nn.Module, name: str) -> Path:
        """The network as a file, which gives what torch gives."""
        path, images_BCHW = self.folder / f"{name}.onnx", self.images_BCHW[:4]
        card = Card(tuple(map(str, range(CLASSES))), (0.5,) * 3, (0.25,) * 3, 3, self.size)
        ships, _ = merged(model.eval(), channels=3, size=self.size)
        export(ships, path, card)
        far = check(path, model, images_BCHW)["maximal_difference"]
        largest = float(np.abs(Runtime(path).logits(images_BCHW)).max())
        if not far <= FAR * largest:
            raise UserError(f"logits of the file differ by {far:.1e}, the largest is {largest:.1e}")
        return path

    def _timed(self, path: Path) -> dict[str, float]:
        x_BCHW = np.zeros((1, 3, self.size, self.size), np.float32)
        whole, own = cost.medians_ms([partial(Runtime(each).run, x_BCHW) for each in (self.whole, path)])
        return {"ms": own, "whole_ms": whole}


def measure(out: Path, names: Iterable[str], limit: float, log: Callable[[str], None]) -> dict[str, Any]:
    """Try the networks that `out` lacks, as of `apart.measure`."""
    import timm  # pyright: ignore[reportMissingImports] an extra

    asked = {"benchmark": "smaller", "timm": timm.__version__, "torch": torch.__version__, "left": LEFT}
    return apart.measure(out, asked, Smaller, names, limit, log)


def table(networks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A line for each network, below a header; a step that failed is dashed, and its reason stands in the file."""
    rows: list[tuple[str, ...]] = [
        (
            "network",
            "size",
            "MFLOPs",
            "pruned: FLOPs, time",
            "factorised: FLOPs, time",
            "int8: bytes, time",
            "peak memory",
        )
    ]
    for name, found in sorted(networks.items()):
        cells = [str(found.get("size", "-")), f"{found['flops'] / 1e6:,.0f}" if "flops" in found else "-"]
        for step in STEPS[2:]:
            of = found.get(step)
            if not isinstance(of, dict):
                cells.append("-")
                continue
            share = of["bytes"] / found["exported"]["bytes"] if step == "quantised" else of["flops"]
            cells.append(f"{share:.2f}, {of['ms'] / of['whole_ms']:.2f}")
        cells.append(f"{found['peak_bytes'] / 2**30:.1f} GiB" if "peak_bytes" in found else "-")
        rows.append((name, *cells))
    return rows


def failures(networks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A line for each step that did not run, below a header, with what a user reads of it."""
    wrong = [
        (name, step, why) for name in sorted(networks) for step, why in apart.failed(Smaller, networks[name]).items()
    ]
    return [("network", "step", "why not"), *wrong]
