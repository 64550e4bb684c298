"""Whether model.onnx answers here as it did where it was exported: needs onnxruntime, numpy and Pillow alone.

`python check.py` beside model.onnx and examples/: exit status 1 where an image gets another answer.
"""

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
from PIL import Image


def main() -> int:
    """Answer the examples one by one, and say how far that is from what is written, how long it took, and how much."""
    here = Path(__file__).resolve().parent
    expected = np.load(here / "examples" / "logits.npy")
    session, seconds, found = ort.InferenceSession(str(here / "model.onnx")), [], []
    for path in sorted((here / "examples").glob("*.png")):
        pixels = np.asarray(Image.open(path, formats=["PNG"]), np.float32) / 255
        pixels = pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]
        session.run(["logits"], {"pixels": pixels})  # the first of its kind takes longer
        began = time.perf_counter()
        found.append(np.asarray(session.run(["logits"], {"pixels": pixels})[0])[0])
        seconds.append(time.perf_counter() - began)
    if len(found) != len(expected):
        print(f"there are {len(found)} images for {len(expected)} rows of logits: copy the whole folder anew")
        return 1
    logits = np.stack(found)
    other = int((logits.argmax(1) != expected.argmax(1)).sum())
    print(f"{other} of {len(logits)} images are answered differently")
    print(f"largest difference of a logit: {np.abs(logits - expected).max():.3g}")
    print(f"{1000 * median(seconds):.3f} ms an image, peak memory {_peak()}, onnxruntime {ort.__version__}")
    return int(other > 0)


def _peak() -> str:
    try:
        import resource
    except ImportError:  # as on Windows
        return "not known"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{peak / (2**20 if sys.platform == 'darwin' else 2**10):.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
