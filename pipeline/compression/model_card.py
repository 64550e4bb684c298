"""MODEL_CARD.md beside an exported file, for people and for the Hugging Face hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.compression.card import BLACK, WITH_PIXELS, Card
from pipeline.config.select import ACCURACY, Metric
from pipeline.config.yaml import dump
from pipeline.console.text import code, markdown, visible, word
from pipeline.data.colours import CLEAR, COLOURS, DEPTHS
from pipeline.data.decode import GAP, REDUCED, enough
from pipeline.data.formats import FORMATS
from pipeline.evaluation.statistics import wilson

# Where the hub keeps the sources that the pipeline knows; own images and the embedded digits have no place there.
HUB = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
}
SPLITS = ("validation", "test")
SCORES = {
    "accuracy": "accuracy",
    "nll": "negative log-likelihood, nats",
    "ece": "expected calibration error",
    "brier": "Brier score",
}
FRAMINGS = {"crop": "cropping its middle", "squash": "squashing", "pad": "padding"}
SHOWN = 50  # classes whose names the card lists

USE = """\
To classify images of the kind that it was trained on, into the classes below. It answers every image with one of them,
also an image that shows none: let a person decide where being wrong matters, and look at the calibration below before
you rely on its probabilities. It was measured on the test images named here and on nothing else; other cameras, other
places and other shares of the classes are other data."""

CHECK = """

`python check.py` beside the file says whether it answers on a machine as it did here, and how fast: it needs
onnxruntime, numpy and Pillow, and compares the answers to up to {count} images of the test split (`examples/`)."""
RUN = """\
With this pipeline:

```
python -m pipeline predict --model {file} image.png
```

With onnxruntime {runtime} or newer alone. The graph normalises by itself: it takes `pixels`, float32 ({shape}) in 0
to 1, and gives `logits`{also} (batch, {classes}). The class names stand in the file's metadata. Files are read below as
in training: JPEG is decoded at a fraction of its size, {gap} times that of the input at least; {square}; colours become
sRGB, and what is transparent shows {background}.

```python
import io
import json
import numpy as np
import onnxruntime
from PIL import Image, ImageCms, ImageOps

session = onnxruntime.InferenceSession("{file}")
classes = json.loads(session.get_modelmeta().custom_metadata_map["cohobate.classes"])
# For HEIC: `import pillow_heif`, `pillow_heif.register_heif_opener(thumbnails=False)`, and "HEIF" among the formats.
with Image.open("image.png", formats={formats}) as image:
    if image.format in {reduced}:  # at a half, a quarter or an eighth of its size, as those of the training
        image.draft(None, ({enough}, {enough}))
    ImageOps.exif_transpose(image, in_place=True)
profile = image.info.get("icc_profile")
if image.mode.startswith(("I", "F")):  # 16 bits, 32 bits, floats
    values = np.nan_to_num(np.asarray(image), nan=0, posinf=0, neginf=0)
    white = max(1.0, float(values.max()))
    if values.dtype.kind != "f":
        white = next(float(2**bits - 1) for bits in {depths} if white < 2**bits)
    image = Image.fromarray(np.rint(values.clip(0, None) * (255 / white)).astype(np.uint8))
elif image.has_transparency_data:
    image = image.convert("LA" if image.mode == "LA" else "RGBA")
elif image.mode not in {colours}:
    image = image.convert("L" if image.mode == "1" else "RGB")
{first}alpha = image.getchannel("A") if image.mode in {clear} else None
if alpha:
    image = image.convert({clear}[image.mode])
if profile:
    srgb = ImageCms.createProfile("sRGB")
    image = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
if alpha:
    image = Image.composite(image.convert("RGB"), Image.new("RGB", image.size, {background}), alpha)
image = image.convert("{mode}")
{last}pixels = np.asarray(image, np.float32).reshape({size}, {size}, {channels}).transpose(2, 0, 1)[None] / 255
{answer}
```"""

PIXELS = """

Where that code is not at hand, `{file}` beside it needs none of the cropping, resizing and normalising: it takes
`image`, uint8 (batch, height, width, {channels}) of any height and width, decoded, upright and in sRGB, and gives the
same outputs. From the same picture its pixels are within one grey level of those above (two in noise)."""
FILES = {
    "onnx": "model.onnx",
    "openvino": "openvino/model.xml",
    "ncnn": "ncnn/model.param",
    "litert": "litert/model.tflite",
    "torch": "torch/model.pt2",
}
CALLS = {
    "openvino": """\
- OpenVINO, an image a call: `openvino.compile_model("openvino/model.xml", "CPU")({"pixels": pixels})["logits"]`""",
    "ncnn": """\
- ncnn, an image a call: `net = ncnn.Net()`, `net.load_param("ncnn/model.param")`, `net.load_model("ncnn/model.bin")`,
  `run = net.create_extractor()`, `run.input("in0", ncnn.Mat(pixels[0]).clone())`, `logits = run.extract("out0")[1]`""",
    "litert": """\
- LiteRT, an image a call: `from ai_edge_litert.interpreter import Interpreter`,
  `Interpreter("litert/model.tflite").get_signature_runner()(args_0=pixels)["output_0"]`""",
    "torch": """\
- torch, logits and probabilities: `torch.export.load("torch/model.pt2").module()(torch.from_numpy(pixels))`""",
}
OTHERS = """\
For other runtimes there are files of their own. Each was run in its runtime on the test images, and compared with the
answers of `model.onnx`; `pixels` are those above."""
BARE = """\
(logits,) = session.run(None, {"pixels": pixels})
print(classes[int(logits[0].argmax())])"""
CALIBRATED = """\
logits, probabilities = session.run(None, {"pixels": pixels})
likeliest = int(logits[0].argmax())
print(classes[likeliest], probabilities[0, likeliest])"""
ABSTAINING = """
if probabilities[0, likeliest] < {threshold!r}:
    print("unsure")"""


FRAME = """\
width, height = {edges}
left, top = (image.width - width) // 2, (image.height - height) // 2
image = image.crop((left, top, left + width, top + height)).resize(({size}, {size}), Image.Resampling.BILINEAR)
"""
SQUARES = {
    "crop": "the middle square{less} is cropped at whole pixels, and resized once",
    "squash": "the picture{less} is squashed to a square",
    "pad": "the picture, padded with black to a square{less}, is resized once",
}
EDGES = {"crop": "[min(image.size)] * 2", "squash": "image.size", "pad": "[max(image.size)] * 2"}


def model_card(
    card: Card,
    *,
    name: str,
    source: str,
    counts: Mapping[str, int],
    chain: Sequence[tuple[str, float]],
    lineage: Iterable[Mapping[str, str]],
    metrics: Mapping[str, Any],
    seeds: Mapping[str, int],
    runtime: str,
    file: str = "model.onnx",
    license: str | None = None,
    metric: Metric = ACCURACY,
    unlabelled: int = 0,
    left_out: Sequence[str] = (),
    examples: int = 0,
) -> str:
    """The card as Markdown with front matter; equal arguments give equal text.

    Args:
        card: Classes and images, as the file has them.
        name: Of the node, e.g. `compress/c5`.
        source: Of the data: `data.source` of params.yaml, or what own images are called.
        counts: Images by split.
        chain: (node, its figure on validation), from where the chain starts to the exported file.
        lineage: As in node.json: `teacher`, `read` and `hash` of what this node was made from.
        metrics: As in metrics/<name>.json; scores of a split that is not there are left out, cost as well.
        seeds: By what they decide.
        runtime: The oldest onnxruntime that runs the file.
        file: The model's, beside the card.
        license: An identifier of the hub, such as `mit`; without one the card names none.
        metric: The one by which networks were chosen, of which the chain's figures are.
        unlabelled: Of the training images, those without a label.
        left_out: What of the source is in no split, a sentence a reason.
        examples: How many test images lie beside the file.
    """
    parts = [
        _front(card, name, source, metrics, license),
        f"# {markdown(source)}: {markdown(name)}",
        f"An image classifier of {len(card.classes):,} classes, distilled and compressed over several stages.",
        f"## Intended use\n\n{USE}",
        f"## How to run\n\n{_run(card, file, runtime)}{CHECK.format(count=examples) if examples else ''}"
        f"{_formats(metrics.get('runtimes', {}))}",
        f"## Metrics\n\n{_metrics(metrics, counts, seeds, metric)}",
        f"## Lineage\n\n{_lineage(chain, lineage, metric)}",
        f"## Data\n\n{_data(card, source, counts, unlabelled, left_out)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front(card: Card, name: str, source: str, metrics: Mapping[str, Any], license: str | None) -> str:
    """The front matter, which the hub reads."""
    name, source = visible(name), visible(source)
    results = [
        {
            "task": {"type": "image-classification", "name": "Image Classification"},
            "dataset": {"name": source, "type": HUB.get(source, source), "split": split},
            "metrics": [{"type": "accuracy", "name": "Accuracy", "value": round(metrics[split]["accuracy"], 6)}],
        }
        for split in SPLITS
        if split in metrics
    ]
    front: dict[str, Any] = {
        **({"license": visible(license)} if license else {}),
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "knowledge-distillation", "model-compression", "onnx", "cohobate"],
        **({"datasets": [HUB[source]]} if source in HUB else {}),
        "metrics": ["accuracy"],
        "model-index": [{"name": name, "results": results}],
    }
    return f"---\n{dump(front)}---"


def _run(card: Card, file: str, runtime: str) -> str:
    shape = f"batch, {card.channels}, {card.size}, {card.size}"
    mode = {1: "L", 3: "RGB"}.get(card.channels, "RGB")
    numbers = {
        "classes": len(card.classes),
        "channels": card.channels,
        "size": card.size,
        "gap": GAP,
        "enough": enough(card.size, card.margin or 0.0),
    }
    # As the pipeline itself: other decoders may start a program.
    read = json.dumps([name for name in FORMATS if name != "HEIF"])
    modes = {"reduced": REDUCED, "depths": DEPTHS, "colours": COLOURS, "clear": CLEAR}
    texts = {"file": file, "runtime": runtime, "shape": shape, "mode": mode, "formats": read, **_square(card)}
    texts["also"] = " and `probabilities`" if card.temperature else ""
    texts["answer"] = CALIBRATED if card.temperature else BARE
    if card.threshold:
        texts["answer"] += ABSTAINING.format(threshold=card.threshold)
    pixels = PIXELS.format(file=WITH_PIXELS, **numbers)
    return RUN.format(background=card.background or BLACK, **texts, **numbers, **modes) + pixels


def _formats(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The files for other runtimes, by what they answer beside the first one; nothing where that is the only one."""
    if len(rows) < 2:
        return ""
    header = ["for", "file", "precision", "bytes", "same answer, test", "largest difference", "accuracy lost"]
    cells = []
    for name, row in rows.items():
        if "not_run" in row:
            cells.append([name, f"not run: {row['not_run']}", "", "", "", "", ""])
            continue
        numbers = [f"{row['agreement']:.4f}", f"{row['maximal_difference']:.2g}", f"{row['drop']:.4f}"]
        cells.append([name, FILES[name], row["precision"], f"{row['bytes']:,}", *numbers])
    calls = "\n".join(CALLS[name] for name, row in rows.items() if name in CALLS and "not_run" not in row)
    return "\n\n".join(["", OTHERS, _table(header, cells), *filter(None, [calls])])


def _square(card: Card) -> dict[str, str]:
    """How an image becomes square: in words, and in code, which for one that is padded stands where it has colours."""
    framing, margin = card.framing or "crop", card.margin or 0.0
    edges = EDGES[framing]
    if margin:
        edges = f"(max(1, round({1 - margin!r} * edge)) for edge in {edges})"
    code = FRAME.format(edges=edges, size=card.size)
    first, last = ("", code) if framing == "pad" else (code, "")
    less = f" less {100 * margin:.3g} % of its edges" if margin else ""
    return {"square": SQUARES[framing].format(less=less), "first": first, "last": last}


def _metrics(metrics: Mapping[str, Any], counts: Mapping[str, int], seeds: Mapping[str, int], metric: Metric) -> str:
    splits = [split for split in SPLITS if split in metrics]
    header = ["score", *(f"{split} ({counts[split]:,} images)" for split in splits)]
    shown = {metric.name: metric.words, **SCORES}
    rows = [[title, *(f"{metrics[split][key]:.4f}" for split in splits)] for key, title in shown.items()]
    # Of test alone: by validation the network was chosen.
    if "test" in splits:
        low, high = wilson(metrics["test"]["accuracy"], counts["test"])
        ends = ["" if split != "test" else f"{low:.4f} to {high:.4f}" for split in splits]
        rows.append(["accuracy of other images of this kind, 95 %", *ends])
    cost = [
        [title, f"{metrics[key]:,}"]
        for key, title in (("parameters", "parameters"), ("flops", "operations an image"), ("bytes", "bytes on disk"))
        if key in metrics
    ]
    latency = metrics.get("cost", {}).get("latency", {})
    cost += [
        [f"milliseconds, {batch.replace('_', ' of ')}", f"{each['ms']:.3f}{_beside(each)}"]
        for batch, each in sorted(latency.items())
    ]
    near = metrics.get("teacher", {}).get("agreement")
    cost += [["same answer as the teacher, test", f"{near:.4f}"]] if near is not None else []
    used = ", ".join(f"{what} {seed}" for what, seed in seeds.items())
    notes = (
        f"One run, seeds {used}: no deviation over seeds is known. Selection and stopping looked at validation only. "
        "A multiply-add counts as two operations. Times are of the machine that measured them."
    )
    said = promises(metrics["promises"]) if "promises" in metrics else []
    return "\n\n".join([_table(header, rows), _table(["cost", "value"], cost), notes, *said])


def promises(told: Mapping[str, Any]) -> list[str]:
    """What is said of other images, and what it was said by; a paragraph each."""
    errors = "; ".join(
        f"{each['ece']:.4f} without it and {each['ece_with_temperature']:.4f} with it on "
        + (f"the {each['images']:,} others" if split == "validation" else split)
        for split, each in told["calibration"].items()
    )
    found = [
        f"Probabilities are softmax(logits / {told['temperature']:.4g}); the temperature is fitted on "
        f"{told['fitted_on']:,} images of validation. Expected calibration error: {errors}."
    ]
    if abstain := told.get("abstain"):
        by, on = abstain["validation"], abstain["test"]
        found.append(
            f"An answer counts where its probability is {abstain['threshold']:.8g} or more. Of other images of this "
            f"kind, at most {100 * abstain['error']:g} % of these answers are wrong (95 % confidence): of "
            f"{by['answered']:,} such images of validation, {100 * by['share']:.1f} %, {by['wrong']:,} were wrong. On "
            f"test {100 * on['share']:.1f} % are answered, {on['wrong']:,} of {on['answered']:,} wrongly."
        )
    if gate := told.get("gate"):
        found.append(
            f"It loses at most {100 * gate['most']:.2f} points of accuracy to the teacher on other images of this kind "
            f"(95 % confidence; {100 * gate['max_drop']:g} were allowed): of {gate['images']:,} images of validation "
            f"{gate['lost']:,} are lost and {gate['won']:,} won. On test it loses {100 * gate['test_drop']:.2f} points."
        )
    if told.get("abstain") or told.get("gate"):
        found.append(
            "Each 95 % is of one question that was asked once. Validation had also chosen the epoch of each network: "
            "test is the fresher witness."
        )
    return found


def _beside(latency: Mapping[str, float]) -> str:
    return f" (the teacher: {latency['teacher_ms']:.3f})" if "teacher_ms" in latency else ""


def _lineage(chain: Sequence[tuple[str, float]], lineage: Iterable[Mapping[str, str]], metric: Metric) -> str:
    steps = _table(["network", f"validation {metric.words}"], [[each, f"{figure:.4f}"] for each, figure in chain])
    read = _table(
        ["made from", "of which was read", "hash"],
        [[each["teacher"], each["read"], each["hash"][:12]] for each in lineage],
    )
    return f"{steps}\n\n{read}"


def _data(card: Card, source: str, counts: Mapping[str, int], unlabelled: int, left_out: Sequence[str]) -> str:
    bare = {"train": f" ({unlabelled:,} of them without a label)"} if unlabelled else {}
    split = ", ".join(f"{count:,} for {name}{bare.get(name, '')}" for name, count in counts.items())
    channels = {1: "grey", 3: "colour"}.get(card.channels, f"of {card.channels} channels")
    shown = ", ".join(_class(name) for name in card.classes[:SHOWN])
    more = len(card.classes) - SHOWN
    rest = f" and {more:,} more, which the file names" if more > 0 else ""
    found = "\n".join(f"- {markdown(sentence)}" for sentence in left_out)
    missing = f"\n\nIn none of these:\n\n{found}" if left_out else ""
    return (
        f"{markdown(source)}: {card.size} by {card.size} pixels, {channels}; {split}.{_input(card)}\n\n"
        f"Classes, in the order of the logits: {shown}{rest}.{missing}"
    )


def _class(name: str) -> str:
    """Class names come from unknown folders."""
    return markdown(name) if word(name) == name else code(name)


def _input(card: Card) -> str:
    """How its images are made, where that is not how the data's were."""
    if card.framing is None or card.margin is None:
        return ""
    mean, std = (", ".join(f"{each:.4g}" for each in numbers) for numbers in (card.mean, card.std))
    margin = f", a margin of {card.margin:.3g} of the short edge left out" if card.margin else ""
    return (
        f" The network was trained with images made square by {FRAMINGS[card.framing]}{margin}; of pixels / 255 the "
        f"graph takes the mean {mean} and divides by the deviation {std}."
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column left-aligned, the others right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    cells = [[cell if cell.startswith("---") else markdown(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
