"""timm's networks of many families, each through all that this pipeline does with a network.

Built without pretrained weights for images of its own size, run, its layers found, trained for a step, saved and
resumed, exported to ONNX. Each runs in a process of its own, and what it reached is written at once.

Legend: B batch, C classes.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import apart
from benchmarks.apart import Way
from pipeline.base.errors import UserError
from pipeline.compression.card import Card
from pipeline.compression.export_onnx import check, export
from pipeline.config.recipe import Recipe
from pipeline.models.probe import find_taps, with_taps
from pipeline.models.taps import shapes
from pipeline.training.recipe import optimizer
from pipeline.training.snapshot import Snapshot, collect, restore

# The smallest, or nearly so, of each family.
NAMES = """
    resnet18 resnetv2_50 regnety_002 densenet121 vgg11_bn inception_v3 inception_v4 inception_resnet_v2 xception41
    dla34 dpn68 res2net50_14w_8s resnest14d legacy_seresnet18 skresnet18 selecsls42 vovnet39a hrnet_w18_small
    cspresnet50 cspnext_tiny darknet17 dm_nfnet_f0 repvgg_a0 mobileone_s0 botnet26t_256 halonet26t
    lambda_resnet26t hgnetv2_b0 rdnet_tiny efficientnet_b0 mobilenetv2_050 mobilenetv3_small_050
    mobilenetv4_conv_small mnasnet_small ghostnet_050 repghostnet_050 rexnet_100 tinynet_e lcnet_035 hardcorenas_a
    starnet_s1 fasternet_t0 convnext_atto convnextv2_atto inception_next_atto mambaout_femto convmixer_768_32
    focalnet_tiny_srf vit_tiny_patch16_224 deit_tiny_distilled_patch16_224 deit3_small_patch16_224
    eva02_tiny_patch14_224 beit_base_patch16_224 vit_small_patch16_dinov3 vit_tiny_r_s16_p8_224
    vit_relpos_small_patch16_224 cait_xxs24_224 xcit_nano_12_p16_224 convit_tiny crossvit_tiny_240
    tnt_s_patch16_224 volo_d1_224 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224
    hiera_tiny_224 mvitv2_tiny pvt_v2_b0 twins_pcpvt_small twins_svt_small nest_tiny pit_ti_224
    pit_ti_distilled_224 visformer_tiny coat_tiny coatnet_pico_rw_224 maxvit_pico_rw_256 gcvit_xxtiny davit_tiny
    levit_128s efficientformer_l1 efficientformerv2_s0 efficientvit_b0 efficientvit_m0 edgenext_xx_small
    mobilevit_xxs mobilevitv2_050 fastvit_t8 repvit_m0_9 swiftformer_xs shvit_s1 tiny_vit_5m_224 poolformer_s12
    caformer_s18 convformer_s18 sequencer2d_s nextvit_small vitamin_small_224 mixer_s32_224 gmlp_ti16_224
    resmlp_12_224 gmixer_12_224
""".split()  # noqa: SIM905
CLASSES = 10
BATCH = 4
# Of the largest logit: how far the exported file may be from torch.
FAR = 1e-4
RECIPE = Recipe(epochs=1, batch_size=BATCH, lr=0.01)
STEPS = ("built", "features", "trained", "resumed", "exported")


def measure(out: Path, names: Iterable[str], limit: float, log: Callable[[str], None]) -> dict[str, Any]:
    """Try the networks that `out` lacks, as of `apart.measure`."""
    import timm  # pyright: ignore[reportMissingImports] an extra

    asked = {"benchmark": "zoo", "timm": timm.__version__, "torch": torch.__version__, "classes": CLASSES}
    return apart.measure(out, asked, Zoo, names, limit, log)


def failed(found: Mapping[str, Any]) -> dict[str, str]:
    """What a network did not reach, and why."""
    return apart.failed(Zoo, found)


def table(networks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A line for each network, below a header."""
    rows = [("network", "size", "layers", *(step for step in STEPS if step != "features"))]
    for name, found in sorted(networks.items()):
        wrong = failed(found)
        features = found.get("features")
        layers = ", ".join(_shape(*each) for each in features) if isinstance(features, list) else "-"
        done = ["no" if step in wrong else "yes" if step in found else "-" for step in STEPS if step != "features"]
        rows.append((name, str(found.get("size", "-")), layers, *done))
    return rows


def _shape(name: str, shape: list[int]) -> str:
    return f"{name} {'x'.join(str(each) for each in shape)}"


class Zoo(Way):
    """One network on its way."""

    STEPS = STEPS
    FIRST = ("built", "features")
    NEEDS: ClassVar[Mapping[str, str]] = {"resumed": "trained"}

    def built(self) -> dict[str, Any]:
        """A network, and the size that it is made for."""
        self.model = self._made()
        self.size: int = self.model.pretrained_cfg["input_size"][-1]  # pyright: ignore
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return {"built": True, "size": self.size, "parameters": parameters}

    def features(self) -> dict[str, Any]:
        """Its layers in order, `embedding` last, each with its shape."""
        self._probe(self.model)
        found = [[name, [*shape]] for name, shape in shapes(self.model, 3, self.size).items() if name != "logits"]
        if len(found) == 1:
            raise UserError("no stage gives a map")
        return {"features": found}

    def trained(self) -> dict[str, Any]:
        """A step, by which every layer that learns has changed, and its state."""
        self.images_BCHW = torch.randn(BATCH, 3, self.size, self.size)
        self.optimizer = optimizer(RECIPE, self.model, torch.device("cpu"))
        loss = self._step(self.model, self.optimizer)
        if not np.isfinite(loss):
            raise UserError(f"the loss is {loss}")
        snapshot = Snapshot(torch.device("cpu"))
        snapshot.take(collect(self.model, [self.optimizer], torch.zeros(1)), {})
        self.state = b"".join(snapshot.body())
        return {"trained": True}

    def resumed(self) -> dict[str, Any]:
        """The next step of a network that got the state is that of the one that went on, bit for bit."""
        self._step(self.model, self.optimizer)
        other = self._probe(self._made())
        again = optimizer(RECIPE, other, torch.device("cpu"))
        restore(self.state, other, [again], torch.zeros(1))
        self._step(other, again)
        theirs = other.state_dict()
        if differ := [name for name, each in self.model.state_dict().items() if not torch.equal(each, theirs[name])]:
            raise UserError(f"after a resumed step {len(differ)} tensors are others, {differ[0]} first")
        return {"resumed": True}

    def exported(self) -> dict[str, Any]:
        """The ONNX file gives what torch gives."""
        names = tuple(str(number) for number in range(CLASSES))
        card = Card(names, (0.5,) * 3, (0.25,) * 3, 3, self.size)
        path = self.folder / "model.onnx"
        model = self.model.eval()
        export(model, path, card)
        images_BCHW = np.random.default_rng(0).integers(0, 256, (BATCH, 3, self.size, self.size), np.uint8)
        far = check(path, model, images_BCHW)["maximal_difference"]
        with torch.no_grad():
            largest = float(model((torch.from_numpy(images_BCHW) / 255 - 0.5) / 0.25).abs().max())
        if not far <= FAR * largest:
            raise UserError(f"logits differ by {far:.1e}, the largest is {largest:.1e}")
        return {"exported": True, "difference": far / largest}

    def _made(self) -> nn.Module:
        import timm  # pyright: ignore[reportMissingImports] an extra

        torch.manual_seed(0)
        return timm.create_model(self.name, pretrained=False, num_classes=CLASSES)

    def _probe(self, model: nn.Module) -> nn.Module:
        return with_taps(model, *find_taps(model, 3, self.size, self.name))

    def _step(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        model.train()
        optimizer.zero_grad()
        loss: Tensor = F.cross_entropy(model(self.images_BCHW), torch.arange(BATCH) % CLASSES)
        loss.backward()
        optimizer.step()
        return loss.item()
