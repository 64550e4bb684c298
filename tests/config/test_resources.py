"""resources.yaml: what each stage takes, and what is wrong with it in one sentence."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.config import resources
from pipeline.config.resources import Request, Resources

FAMILIES = ["teacher", "assistant", "prepare"]


def test_a_family_changes_what_all_take() -> None:
    found = Resources({"all": {"cpus": 2.0, "label": "disk=fast"}, "teacher": {"gpus": 1, "label": None}}, FAMILIES)
    assert found.of("teacher") == Request(cpus=2.0, gpus=1)
    assert found.of("assistant@t2") == Request(cpus=2.0, label="disk=fast")


def test_without_a_file_each_takes_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resources.read(FAMILIES).of("teacher") == Request(cpus=1.0, gpus=0, memory=None, label=None)
    resources.FILE.write_text("assistant: {memory: 16}\n")
    assert resources.read(FAMILIES).of("assistant@t1").memory == 16
    resources.FILE.write_text("")
    assert resources.read(FAMILIES).of("assistant@t1") == Request()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([1], "resources.yaml must be a mapping of families to what they take, such as `teacher: {gpus: 1}`"),
        ({"techer": {}}, "resources.yaml: unknown family 'techer', did you mean 'teacher'?"),
        ({"teacher": {"gpu": 1}}, "resources.yaml: teacher: unknown key 'gpu', did you mean 'gpus'?"),
        ({"all": {"cpus": 0}}, "resources.yaml: all.cpus: must be greater than 0, not 0"),
        ({"teacher": {"gpus": 0.5}}, "resources.yaml: teacher.gpus: must be a valid integer, not 0.5"),
        ({"teacher": {"memory": "16 GB"}}, "resources.yaml: teacher.memory: must be a valid number, not '16 GB'"),
        ({"teacher": {"sees_files": "yes"}}, "resources.yaml: teacher.sees_files: must be a valid boolean, not 'yes'"),
        ({"teacher": "gpus"}, "resources.yaml: teacher: must be a mapping of keys to values, not 'gpus'"),
    ],
)
def test_what_cannot_be_is_named(value: Any, sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        Resources(value, FAMILIES)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("label", ["fast", "=x", "x=", "a b=c", "a=b=c"])
def test_a_label_is_a_key_and_a_value(label: str) -> None:
    with pytest.raises(UserError, match=r"^resources.yaml: teacher.label: must match pattern"):
        Resources({"teacher": {"label": label}}, FAMILIES)
