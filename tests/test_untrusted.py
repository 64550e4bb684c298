"""Files of strangers: none is run, none is believed, none leads elsewhere, and each is refused in one sentence."""

import ast
import hashlib
import pickle
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.compression.onnx_file import read_onnx
from pipeline.compression.runtime import Runtime
from pipeline.config import params
from pipeline.config.data import Data
from pipeline.config.yaml import read_yaml
from pipeline.data import listing, prepared
from pipeline.data.prepare import prepare
from pipeline.dvc import lock
from pipeline.labels.mapped import mapped
from pipeline.lineage import node
from pipeline.lineage.node import Node
from pipeline.lineage.predictions import read_predictions
from pipeline.models.build import build, rebuild
from pipeline.models.codebook import load_shared
from pipeline.models.files import load_weights
from pipeline.training.state import State
from tests.data.folders import folder, picture

ROOT = Path(__file__).parents[1]
CODE = [path for top in ("pipeline", "stages") for path in sorted((ROOT / top).rglob("*.py"))]
# torchvision's own checkpoints, of which only tensors are taken (weights_only), after their hash was compared.
UNPICKLES = {"pipeline/models/torchvision.py"}
# Checkpoints of others, for `python -m pipeline import` alone: tensors only.
LOADS = {"pipeline/models/checkpoints.py"}
# Annotations of our own source files and functions that plan runs alone, never input.
EVALUATES = {"pipeline/config/signature.py"}


class Payload:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, (str(self.path), "w"))


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    return [
        (ast.unparse(each.func), each) for each in ast.walk(ast.parse(path.read_bytes())) if isinstance(each, ast.Call)
    ]


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_code_unpickles_evaluates_or_calls_a_shell(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_bytes())
    imported = {alias.name for each in ast.walk(tree) if isinstance(each, ast.Import) for alias in each.names}
    imported |= {each.module or "" for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
    unsafe = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    assert name in UNPICKLES or not imported & unsafe
    for called, call in calls(path):
        keywords = {each.arg: ast.unparse(each.value) for each in call.keywords}
        assert called not in ("os.system", "os.popen", "pickle.load", "pickle.loads")
        assert called != "torch.load" or (name in LOADS and keywords["weights_only"] == "True")
        assert called not in ("eval", "exec", "compile") or name in EVALUATES
        assert keywords.get("shell", "False") == "False"
        assert keywords.get("allow_pickle", "False") == "False"
        assert keywords.get("weights_only", "True") == "True"
        if called.startswith("subprocess."):
            assert not isinstance(call.args[0], ast.Constant | ast.JoinedStr | ast.BinOp), "arguments, never one line"
        if called == "yaml.load":
            loader = keywords.get("Loader") or ast.unparse(call.args[1])
            assert loader == "_Loader", "made of PyYAML's safe loader"


def weights_of(path: Path) -> None:
    load_weights(build({"family": "plain", "widths": [4]}, channels=1, size=8, classes=3), path, "the weights")


def view_of(path: Path) -> None:
    layout = {"logits": (np.dtype(np.float32), (3, 2))}
    mapped(path, layout, hashlib.sha256(path.read_bytes()).hexdigest())


def predictions_of(path: Path) -> None:
    target = Path("artifacts/a/predictions/logits.safetensors")
    target.parent.mkdir(parents=True)
    path.rename(target)
    read_predictions(Node("a", "trained", hashes={"predictions": files.sha256(target)}))


def array_of(path: Path) -> None:
    """As an array of the prepared data whose hash was made to fit."""
    prepare(Data(source="digits", per_class=2), Path(), 0, Path("data"))
    header = files.read_sealed(Path("data/data.json"))
    path.rename("data/train.labels.npy")
    header["files"]["train.labels.npy"] = files.sha256(Path("data/train.labels.npy"))
    files.write_sealed(Path("data/data.json"), header)
    prepared.read(Path("data"))


def state_of(path: Path) -> None:
    """A state is believed by its checksum only; it is no pickle either."""
    body = path.read_bytes()
    (path.parent / "state").write_bytes(hashlib.sha256(body).digest() + body)
    assert State(path.parent).progress() is None
    raise UserError("the state is damaged")


READERS = [
    weights_of,
    view_of,
    predictions_of,
    array_of,
    state_of,
    load_shared,
    read_onnx,
    Runtime,
    params.read,
    files.read_json,
    lock.read,
]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "given"
    path.write_bytes(pickle.dumps(Payload(tmp_path / "ran"), protocol))
    with pytest.raises(UserError) as refused:
        read(path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("length", [2**63, 2**40, 2**31, 10**8, 100])
@pytest.mark.parametrize("read", [weights_of, view_of, predictions_of, load_shared], ids=lambda read: read.__name__)
def test_a_safetensors_header_that_claims_more_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any], length: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "given"
    path.write_bytes(struct.pack("<Q", length) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' + bytes(4))
    with pytest.raises(UserError):
        read(path)


def bomb(path: Path, edge: int) -> None:
    """A PNG of a few kilobytes that claims edge x edge pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", edge, edge, 1, 0, 0, 0, 0)
    content = zlib.compress(bytes(1 << 20), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b""))


@pytest.mark.parametrize("edge", [20_000, 200_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_by_name(tmp_path: Path, edge: int) -> None:
    folder(tmp_path, {"a": 2, "b": 2})
    bomb(tmp_path / "a" / "000.png", edge)
    with pytest.raises(UserError, match=rf"a/000.png \(it has {edge}x{edge} pixels, and 178,956,970 are the most"):
        prepare(Data(source="imagefolder", size=8), tmp_path, 0, tmp_path / ".out")


def test_a_link_out_of_the_image_folder_is_followed_only_if_asked_for(tmp_path: Path) -> None:
    root, private = folder(tmp_path / "root", {"a": 2, "b": 2}), tmp_path / "private.png"
    picture(private)
    (root / "a" / "x.png").symlink_to(private)
    with pytest.raises(UserError, match=r"a/x.png under data.root is a link out of it, to .*private.png: .*data.links"):
        listing.listing(root)
    assert listing.listing(root, links=True)["count"] == 5
    (root / "a" / "x.png").unlink()
    (root / "c").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"root/c under data.root is a link out of it"):
        listing.listing(root)
    (root / "c").unlink()
    (root / "a" / "x.png").symlink_to("000.png")
    assert listing.listing(root)["count"] == 5


def test_a_root_may_itself_be_a_link(tmp_path: Path) -> None:
    folder(tmp_path / "elsewhere", {"a": 2, "b": 2})
    (tmp_path / "root").symlink_to("elsewhere")
    assert listing.listing(tmp_path / "root")["count"] == 4


def test_a_linked_artifact_is_worth_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC itself may link artifacts into its cache: what counts is the content."""
    monkeypatch.chdir(tmp_path)
    with node.writing("a") as inside:
        (inside / "predictions").mkdir()
        (inside / "predictions" / "logits.safetensors").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="its SHA-256 is not the recorded one"):
        read_predictions(Node("a", "trained", hashes={"predictions": "0" * 64}))


@pytest.mark.parametrize(
    "architecture",
    [
        {"family": "../../x"},
        {"family": "__init__"},
        {"family": "os"},
        {"family": "plain", "widths": [4], "system": "touch ran"},
        {"family": ["plain"]},
        {"family": "plain", "widths": "__import__('os')"},
        {},
    ],
)
def test_an_architecture_of_a_strangers_node_is_checked(architecture: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        rebuild({**architecture, "channels": 1, "size": 8, "classes": 3})


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch ran']",
        "a: !!python/name:os.system",
        "!!python/object/new:open [ran, w]",
        "a: !!python/module:os",
        "stages: !!python/tuple [1]",
        "!!binary 'x'",
        "!unknown {}",
    ],
)
def test_yaml_makes_no_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    for read in (params.read, lock.read):
        with pytest.raises(UserError):
            read(path)
    assert [each.name for each in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000], ids=["lists", "maps", "block"])
def test_yaml_that_nests_without_end_is_refused(tmp_path: Path, text: str) -> None:
    """The parser in C would overflow its stack and take the process with it."""
    path = tmp_path / "dvc.lock"
    path.write_text(f"stages: {text}" if text[0] in "[{" else f"stages:\n  {text}")
    for read in (params.read, lock.read):
        with pytest.raises(UserError, match=r"dvc\.lock .*nested too deeply"):
            read(path)


SHELL = [
    "$(touch ran)",
    "`touch ran`",
    "; touch ran",
    "a | touch ran",
    "a\ntouch ran",
    "&& touch ran",
    "'\"; touch ran",
]


@pytest.mark.parametrize("text", [SHELL[0], *(pytest.param(text, marks=pytest.mark.long) for text in SHELL[1:])])
def test_shell_characters_in_params_are_refused_and_reach_no_shell(fresh: Any, tmp_path: Path, text: str) -> None:
    scratch = fresh.copy(tmp_path / "repository", tmp_path / "state")
    whole = yaml.safe_load((scratch.folder / "params.yaml").read_text())
    for change in ({"edges": {"refinery": text}}, {"method": {text: {}}}, {text: {}}, {"assistant": {"links": text}}):
        (scratch.folder / "params.yaml").write_text(yaml.safe_dump(_merge(whole, change)))
        said = scratch.stage("plan", code=1)
        assert said.startswith("error: params.yaml: ")
        assert "Traceback" not in said
    assert not (scratch.folder / "ran").exists()


def _merge(whole: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {**whole, **{key: {**(whole.get(key) or {}), **value} for key, value in change.items()}}


def test_dvc_runs_nothing_of_such_a_key(fresh: Any, tmp_path: Path) -> None:
    scratch = fresh.copy(tmp_path / "repository", tmp_path / "state")
    scratch.edit({"edges": {"refinery": "$(touch ran); touch ran"}})
    process = scratch.start("dvc", "repro")
    said, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "Traceback" not in said
    assert not list(scratch.folder.rglob("ran"))


def test_commands_of_the_graph_take_names_of_slots_alone() -> None:
    """The one thing in a command that is not written there is the slot's own name, which dvc.yaml gives."""
    for name, stage in read_yaml(ROOT / "dvc.yaml")["stages"].items():
        body = stage.get("do", stage)
        assert re.fullmatch(r"exec python -m stages \w+( \$\{key\})?", body["cmd"]), name
        for key in stage.get("foreach", ()):
            assert re.fullmatch(r"\w+", key)


def test_odd_names_of_classes_reach_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["$(touch ran)", "; touch ran", "-rf", "a b"]
    folder(tmp_path / "root", dict.fromkeys(names, 4))
    prepare(Data(source="imagefolder"), tmp_path / "root", 0, tmp_path / "out")
    assert set(prepared.read(tmp_path / "out").classes) == set(names)
    assert not (tmp_path / "ran").exists()
