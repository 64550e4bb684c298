"""What a message tells a user to set is there to be set."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.config.extension import STEPS
from pipeline.config.network import ImportedAnswers, ImportedOnnx, InputSection, NetworkSection, Weights
from tests.config.effects import everything, flattened
from tests.scratch import PARAMS, ROOT

SECTIONS = "seeds|data|views|labels|machine|training|teacher|assistant|student|baseline|direct|refinery|born_again"
SECTIONS += "|ensemble|method|mutual|compress|" + "|".join(STEPS.names())
NAMED = re.compile(rf"(?<![\w./-])(?:{SECTIONS})(?:\.[a-z_]+)+(?![\w(/])")
FILES = re.compile(r"\.(json|yaml|onnx|safetensors|csv|py|html|md|npy|tmp)$")


def messages(path: Path) -> Iterator[str]:
    """The literal text of each string of a file that is not a docstring, what is filled in as `{}`."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise | ast.Return | ast.Yield | ast.Assign) and (
            value := getattr(node, "value", None) or getattr(node, "exc", None)
        ):
            for part in ast.walk(value):
                if isinstance(part, ast.JoinedStr):
                    yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in part.values)
                elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def keys() -> set[str]:
    """All that params.yaml may hold, each section with what lies in it; steps by their kinds, too."""
    from pipeline.config.yaml import read_yaml

    found = {*everything(), *flattened(read_yaml(PARAMS)), "compress.order", "compress.steps"}
    found |= {
        f"teacher.{key}.{each}"
        for key, section in (
            ("weights", Weights),
            ("answers", ImportedAnswers),
            ("onnx", ImportedOnnx),
            ("onnx.input", InputSection),
        )
        for each in section.model_fields
    }
    for kind in STEPS.names():
        own = {*STEPS.settings(kind).model_fields, *(NetworkSection.model_fields if kind in ("distil", "tune") else ())}
        found |= {f"{kind}.{key}" for key in own}
    return found | {key.rsplit(".", cut)[0] for key in found for cut in range(1, key.count(".") + 1)}


def test_every_key_that_a_message_names_is_one_of_params_yaml() -> None:
    known, named, wrong = keys(), set(), []
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        for text in messages(path):
            for key in NAMED.findall(text):
                if FILES.search(key):
                    continue
                named.add(key)
                if key not in known:
                    wrong.append(f"{path.relative_to(ROOT)}: {key}")
    assert wrong == []
    assert {"data.size", "prune.sparsity", "replace.layers", "compress.order"} <= named


def test_no_message_names_a_way_that_is_no_setting() -> None:
    """Magnitude pruning is `what: weights`."""
    for path in (ROOT / "pipeline").rglob("*.py"):
        assert not any("use magnitude" in text for text in messages(path)), path
