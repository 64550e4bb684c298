"""What is read from a signature without importing it is what the imported function says."""

import importlib
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

import pipeline
from pipeline.base.errors import UserError
from pipeline.config import extension, signature

PACKAGE = Path(str(pipeline.__file__)).parent
SUPPLIED = extension.FAMILIES.supplied
OBJECTIVES = [
    "attention_transfer",
    "born_again",
    "cosine_table",
    "cross_entropy",
    "cwtm",
    "dist",
    "dkd",
    "dkpp",
    "fitnet_hint",
    "fsp",
    "label_refinery",
    "logit_matching",
    "logit_standardisation",
    "mutual",
    "pkt",
    "rkd",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
    "soft_targets",
]
FAMILIES = ["own", "plain", "residual", "separable", "timm", "torchvision", "wide"]
OPTIMIZERS = ["adamw", "sgd"]
FILES = ["huggingface", "imagefolder", "manifest", "parquet", "webdataset"]
SOURCES = sorted(["cifar10", "cifar100", "digits", "fashion_mnist", "mnist", *FILES])
STEPS = ["codebook", "distil", "export", "factorise", "prune", "quantise", "replace", "tune"]
NAMES = {
    extension.OBJECTIVES: OBJECTIVES,
    extension.FAMILIES: FAMILIES,
    extension.OPTIMIZERS: OPTIMIZERS,
    extension.SOURCES: SOURCES,
    extension.STEPS: STEPS,
}
FUNCTIONS = [(point, name) for point, names in NAMES.items() for name in names]


def test_everything_that_can_be_named_is_found_and_nothing_else():
    assert {point: point.names() for point in NAMES} == NAMES


@pytest.mark.parametrize(("point", "file"), FUNCTIONS)
def test_it_agrees_with_the_imported_function(point: extension.ExtensionPoint, file: str):
    name = point.function or file
    path = PACKAGE / point.folder / f"{file}.py"
    module = importlib.import_module(f"pipeline.{point.folder}.{file}".replace("/", "."))
    learned = getattr(module, signature.class_name(name), None)
    takes, sets = (learned.forward, learned.__init__) if learned else (getattr(module, name),) * 2
    taken = inspect.signature(takes).parameters.values()
    needed = tuple(p.name for p in taken if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self")
    assert signature.needs(path, name) == needed
    parameters = inspect.signature(sets).parameters.values()
    own = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in point.supplied}
    hints = typing.get_type_hints(sets, include_extras=True)
    model = signature.settings(path, name, point.supplied)
    assert set(model.model_fields) == set(own)
    given = model.model_json_schema().get("properties", {})
    for key, field in model.model_fields.items():
        required = own[key].default is inspect.Parameter.empty
        assert field.is_required() == required
        if not required:
            assert field.default == own[key].default
        expected = TypeAdapter(hints[key]).json_schema()
        assert {k: v for k, v in given[key].items() if k not in ("title", "default")} == expected


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "method.py"
    path.write_text(text)
    return path


def test_annotations_may_be_strings_and_parameters_required(tmp_path: Path):
    path = write(
        tmp_path,
        'import nothing_that_exists\ndef method(a, b, *, n: Count, w: "tuple[Count, ...] | None" = None): ...\n',
    )
    assert signature.needs(path, "method") == ("a", "b")
    model = signature.settings(path, "method")
    assert signature.validated(model, {"n": 2, "w": [1, 2]}, "x") == {"n": 2, "w": [1, 2]}
    with pytest.raises(UserError, match=r"x\.n: is missing: add it$"):
        signature.validated(model, {}, "x")
    with pytest.raises(UserError, match=r"x\.w\.1: .*greater than or equal to 1, not 0"):
        signature.validated(model, {"n": 2, "w": [1, 0]}, "x")
    with pytest.raises(UserError, match=r"x: unknown key 'm'"):
        signature.validated(model, {"n": 2, "m": 1}, "x")


def test_the_model_is_frozen_and_refuses_unknown_keys(tmp_path: Path):
    model = signature.settings(write(tmp_path, "def method(*, n: Natural = 3): ...\n"), "method")
    with pytest.raises(ValidationError, match="Extra inputs"):
        model.model_validate({"m": 1})
    with pytest.raises(ValidationError, match="frozen"):
        model().__setattr__("n", 4)


def test_excluded_names_are_no_settings(tmp_path: Path):
    path = write(tmp_path, "def build(*, size: int, width: Count = 2): ...\n")
    assert signature.validated(signature.settings(path, "build", frozenset({"size"})), {}, "x") == {"width": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def method(*, n=1): ...\n", "`n` needs an annotation"),
        ("def method(*, n: Tensor = 1): ...\n", r"`n` is annotated `Tensor`, but name 'Tensor' is not defined"),
        ("def other(): ...\n", "must define the function `method`"),
    ],
)
def test_what_cannot_be_read_statically_is_named(tmp_path: Path, text: str, message: str):
    with pytest.raises(UserError, match=message):
        signature.settings(write(tmp_path, text), "method")


def test_a_function_runs_without_the_rest_of_its_file(tmp_path: Path):
    path = write(
        tmp_path,
        "import nothing_that_exists\nLIMIT = 3\n"
        "def adds(a: Tensor, *, b=1):\n    from math import floor\n    return floor(a + b)\n"
        "def leans(): return LIMIT\n",
    )
    adds, leans = (signature.alone(path, name) for name in ("adds", "leans"))
    assert adds is not None
    assert leans is not None
    assert adds(1.5, b=2) == 3
    with pytest.raises(UserError, match=r"^method\.py: name 'LIMIT' is not defined: `leans` is run alone, so import"):
        leans()
    assert signature.alone(path, "other") is None


def test_reading_imports_no_torch():
    code = (
        "import sys; from pipeline.config import extension\n"
        "for point in vars(extension).values():\n"
        "    if isinstance(point, extension.ExtensionPoint):\n"
        "        for name in point.names(): point.settings(name); point.helper(name, 'check')\n"
        "assert not {'torch', 'torchvision', 'sklearn'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)
