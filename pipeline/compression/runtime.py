"""A shipped ONNX file in onnxruntime: no torch, but to resize images that are not of its size.

Legend: N images, B batch, C channels or classes, H = W edge in pixels.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime as ort

from pipeline.base import memory
from pipeline.base.errors import UserError
from pipeline.base.passes import images_a_pass
from pipeline.compression.card import IMAGE, Card, read_card
from pipeline.data.encoded import EncodedImages

LARGEST = 1 << 30  # bytes: a classifier above a gigabyte is none that this pipeline made


class Runtime:
    """A model file, ready to answer.

    Files are not trusted: one above `LARGEST`, one that keeps tensors in files outside its folder, and one whose
    inputs or outputs are not what its card says, are refused by a `UserError`; so are answers that are none. How much
    memory it takes is checked by `pipeline.models.declared`.

    Args:
        path: The .onnx file.
        threads: CPU threads; None takes all cores.
    """

    def __init__(self, path: Path, *, threads: int | None = 1) -> None:
        self.path = path
        self._session = _session(path, threads)
        self.card: Card = read_card(self._session.get_modelmeta().custom_metadata_map, str(path))
        self._check(path)

    @property
    def images_a_pass(self) -> int:
        """How many images go through it at once, where nobody asks for a number."""
        return images_a_pass(self._bytes_an_image)

    def passes_at_once(self, images: int, most: int) -> int:
        """How many threads may run a pass of so many images each, in half of the memory that is free: 1 to `most`."""
        return max(1, min(most, memory.free() // 2 // max(1, images * self._bytes_an_image)))

    @cached_property
    def _bytes_an_image(self) -> int:
        from pipeline.models.declared import bytes_an_image  # which imports onnx: not everybody needs it

        return bytes_an_image(self.path.read_bytes())

    def logits(self, images_NCHW: np.ndarray | EncodedImages, *, batch_size: int | None = None) -> np.ndarray:
        """Logits float32 (N, C) of uint8 images (N, C, H, W), which are resized where the network has another size.

        batch_size: None takes as many at once as fit into bounded memory.

        Raises:
            UserError: The file answers with another number of rows or classes, or with what is not finite; or it fails.
        """
        batch_size = batch_size or self.images_a_pass
        answers = [np.empty((0, len(self.card.classes)), np.float32)]
        for start in range(0, len(images_NCHW), batch_size):
            images_BCHW = images_NCHW[start : start + batch_size]
            logits_BC = self.run(self.pixels(images_BCHW))
            self._check_answer(logits_BC, len(images_BCHW), start)
            answers.append(logits_BC)
        return np.concatenate(answers)

    def probabilities(self, images_NCHW: np.ndarray, *, batch_size: int | None = None) -> np.ndarray:
        """Probabilities float64 (N, C) of images as of `logits`: at the file's temperature, where it has one."""
        degree = self.card.temperature or 1.0
        logits_NC = self.logits(images_NCHW, batch_size=batch_size).astype(np.float64) / degree
        shares_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
        return shares_NC / shares_NC.sum(axis=1, keepdims=True)

    def run(self, pixels_BCHW: np.ndarray) -> np.ndarray:
        """The logits that it answers to pixels 0 .. 1, float32 (B, C, H, W), as they are: one call of the runtime.

        Raises:
            UserError: The runtime fails.
        """
        try:
            (answer,) = self._session.run(["logits"], {"pixels": pixels_BCHW})
        except Exception as error:  # the runtime has a dozen classes of its own
            raise UserError(f"{self.path} fails while it runs ({_reason(error)}): export it anew") from None
        assert isinstance(answer, np.ndarray)
        return answer

    def _check_answer(self, answer: np.ndarray, count: int, first: int) -> None:
        """Refuse what are no logits of `count` images, of which the first has number `first`."""
        if answer.shape != (count, len(self.card.classes)):
            raise UserError(
                f"{self.path} answers {count} images of {len(self.card.classes)} classes with numbers of shape "
                f"{answer.shape}: export it anew"
            )
        finite_B = np.isfinite(answer).all(axis=1)
        if not finite_B.all():
            raise UserError(
                f"{self.path} gives image {first + int(finite_B.argmin())} a logit that is not finite: "
                "its weights are broken, export it anew"
            )

    def at_size(self, images_NCHW: np.ndarray) -> np.ndarray:
        """Images uint8 (N, C, H, W) as they are at the size that the network takes, in whole levels."""
        return (255 * self.pixels(images_NCHW)).round().clip(0, 255).astype(np.uint8)

    def pixels(self, images_BCHW: np.ndarray) -> np.ndarray:
        """What `run` takes of images uint8."""
        pixels_BCHW = images_BCHW.astype(np.float32) / 255
        if pixels_BCHW.shape[-1] == self.card.size:
            return pixels_BCHW
        import torch

        from pipeline.models.shown import resized

        return resized(torch.from_numpy(pixels_BCHW), self.card.size).numpy()

    def _check(self, path: Path) -> None:
        card = self.card
        expected = [("pixels", "tensor(float)", [card.channels, card.size, card.size])]
        outputs = ["logits", *(["probabilities"] if card.temperature else [])]
        expected += [(name, "tensor(float)", [len(card.classes)]) for name in outputs]
        if [each.name for each in self._session.get_inputs()] == [IMAGE]:
            raise UserError(f"{path} crops and resizes by itself, for other programs: name the model.onnx beside it")
        ends = [*self._session.get_inputs(), *self._session.get_outputs()]
        if [(end.name, end.type, end.shape[1:]) for end in ends] != expected:
            raise UserError(f"{path} takes or gives other tensors than its metadata say: export it anew")


def _session(path: Path, threads: int | None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # an error is raised, and need not be printed too
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(
                f"{path} has more than {LARGEST >> 20} MiB, and is not loaded: no model of ours is as large"
            )
        # By its path, not its bytes: so the runtime knows the folder that external tensors must not leave.
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: name an exported .onnx file") from None
    except UserError:
        raise
    except Exception as error:  # the runtime has a dozen classes of its own
        raise UserError(f"{path} is no model that onnxruntime can run ({_reason(error)}): export it anew") from None


def _reason(error: Exception) -> str:
    """What the runtime says, in one line."""
    return " ".join(str(error).split())[:200]
