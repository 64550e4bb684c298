"""The table of files that ship: what the stage ran, and what was run elsewhere."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.lineage.results import Row
from pipeline.lineage.runtimes import HEADER, lines

PRINTED = """\
1 of 20 images are answered differently
largest difference of a logit: 0.0123
1.234 ms an image, peak memory 45 MiB, onnxruntime 1.32.0
"""
TOLD = {"precision": "int8", "bytes": 1234567, "agreement": 0.9975, "maximal_difference": 0.0521, "drop": -0.0025}


def row(name: str, status: str = "computed", **metrics: Any) -> Row:
    node: Any = SimpleNamespace(name=name, status=status)
    return Row(node, {"cost": {}, **metrics})


def test_each_format_of_what_ships_is_a_line() -> None:
    ships = row(
        "compress/c5",
        runtimes={"onnx": TOLD, "openvino": {"not_run": "OpenVINO is not installed"}},
        cost={"runtimes_ms": {"onnx": 0.5}},
    )
    carried = row("compress/c6", "carried", runtimes={"onnx": TOLD, "openvino": TOLD})
    assert lines([row("teacher"), ships, carried]) == [
        HEADER,
        ("compress/c5", "onnx", "int8", "1,234,567", "99.75 %", "0.052", "-0.25", "0.500", ""),
        ("compress/c5", "openvino", "not run: OpenVINO is not installed", "", "", "", "", "", ""),
    ]
    alone = row("compress/c5", runtimes={"onnx": TOLD})
    assert lines([row("teacher"), alone]) == [], "one format is compared with nothing"


def test_what_was_measured_elsewhere_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "phone.txt").write_text(PRINTED)
    (tmp_path / "old.txt").write_text(PRINTED.replace("peak memory 45 MiB", "peak memory not known"))
    alone = row("compress/c5", runtimes={"onnx": TOLD})
    assert lines([alone], [tmp_path / "phone.txt", tmp_path / "old.txt"]) == [
        HEADER,
        ("compress/c5", "onnx", "int8", "1,234,567", "99.75 %", "0.052", "-0.25", "", ""),
        ("phone.txt", "onnxruntime 1.32.0", "", "", "19 of 20", "0.0123", "", "1.234", "47"),
        ("old.txt", "onnxruntime 1.32.0", "", "", "19 of 20", "0.0123", "", "1.234", ""),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"--measured: .*phone\.txt does not exist: run `python check\.py > FILE` where"),
        (b"hello\n", r"phone\.txt is not what check\.py prints: run `python check\.py"),
        (b"\xff\xfe\x00", r"phone\.txt cannot be read"),
        (PRINTED[:60].encode(), r"is not what check\.py prints"),
    ],
)
def test_another_file_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "phone.txt").write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        lines([], [tmp_path / "phone.txt"])
