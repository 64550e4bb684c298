"""ncnn's own files, `model.param` and `model.bin`, made of the network by pnnx: float32, one image a call."""

import importlib
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from pipeline.compression.formats.original import Answer, NotRun, Original, card_beside, convert, write_card

BATCH = 1  # images a call: it knows no more
PRECISION = "float32"
NAME, WEIGHTS = "model.param", "model.bin"
INPUT, OUTPUT = "in0", "out0"  # as pnnx calls them
PATIENCE = 600.0  # seconds: a network of 86 million weights takes some
card = card_beside


def write(original: Original, folder: Path) -> None:
    """Write them into the folder, the card beside them; equal networks give equal bytes.

    Raises:
        NotRun: ncnn or pnnx is not installed, pnnx cannot convert it, or there is no network in torch.
    """
    model, x_BCHW = original.shipped()
    converter, _ = _library("pnnx").EXEC_PATH, _library("ncnn")
    with TemporaryDirectory(dir=folder) as beside:
        traced = Path(beside) / "network.pt"
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # that tracing is old, and what it takes for constant, as the size is
            network: Any = torch.jit.trace(model, x_BCHW, check_trace=False)
            network.save(str(traced))
        shape = ",".join(map(str, x_BCHW.shape))
        written = [f"ncnnparam={folder / NAME}", f"ncnnbin={folder / WEIGHTS}"]
        command = [converter, str(traced), f"inputshape=[{shape}]f32", "fp16=0", *written]
        convert("pnnx", command, folder / WEIGHTS, PATIENCE)
    write_card(original.card, folder)


def opened(folder: Path, threads: int | None) -> Answer:
    """What answers by the files, as `write` leaves them.

    Raises:
        NotRun: ncnn is not installed, or does not know an operation that pnnx has written.
    """
    ncnn = _library("ncnn")
    net = ncnn.Net()
    # It would compute in float16 where a CPU has that.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_vulkan_compute = False
    if threads:
        net.opt.num_threads = threads
    # pnnx ends well also where it left an operation that ncnn does not have.
    if net.load_param(str(folder / NAME)) or net.load_model(str(folder / WEIGHTS)):
        raise NotRun(f"ncnn does not load it{_unknown((folder / NAME).read_text())}")

    def answer(pixels_BCHW: np.ndarray) -> np.ndarray:
        return np.stack([_one(net, ncnn, pixels_CHW) for pixels_CHW in pixels_BCHW])

    return answer


def _one(net: Any, ncnn: Any, pixels_CHW: np.ndarray) -> np.ndarray:
    extractor = net.create_extractor()
    extractor.input(INPUT, ncnn.Mat(np.ascontiguousarray(pixels_CHW)).clone())
    status, logits_C = extractor.extract(OUTPUT)
    if status:
        raise NotRun(f"ncnn cannot compute it (status {status})")
    return np.array(logits_C)


def _unknown(content: str) -> str:
    """Which operations are torch's own: those of ncnn have no dot."""
    kinds = (line.split(maxsplit=1)[0] for line in content.splitlines()[2:])
    found = sorted({kind for kind in kinds if "." in kind})
    return f": it has no {', '.join(found)}" if found else ""


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise NotRun(f"{name} is not installed: `pip install -e '.[ncnn]'`") from None
