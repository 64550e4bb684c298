"""Presets fit the params.yaml of today, leave nothing of one another, and overwrite nobody's work."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import UserError
from pipeline.commands.init import init
from pipeline.config import params, presets
from pipeline.config.views import Views
from pipeline.config.yaml import parse, read_yaml
from pipeline.planning import build, graph
from pipeline.planning.specs.training import TrainingSpec
from tests.data.folders import folder
from tests.scratch import PARAMS, ROOT

COMMITTED = PARAMS.read_text()
NAMES = ["cifar10", "cifar100", "digits", "fashion-mnist", "imagefolder", "photos", "photos-fast", "quick"]
SHORT = ["photos", "photos-fast"]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """params.yaml in a repository that holds it."""
    (tmp_path / "params.yaml").write_text(COMMITTED)
    monkeypatch.chdir(tmp_path)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@e", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], check=True)
    return Path("params.yaml")


WHOLE = {
    ".views",
    ".teacher.input",
    ".student.input",
    *(f".{part}" for part in read_yaml(presets.PARTS) if part not in ("student", "compress")),
}


def keys(content: Any, prefix: str = "") -> set[str]:
    """What a preset decides; architectures, recipes, views and parts that may be off are decided whole."""
    if not isinstance(content, dict) or "family" in content or prefix.endswith(".recipe") or prefix in WHOLE:
        return {prefix}
    return {key for name, each in content.items() for key in keys(each, f"{prefix}.{name}")}


def test_these_are_there_and_each_says_what_it_is() -> None:
    assert presets.names() == NAMES
    for name in NAMES:
        assert (presets.FOLDER / f"{name}.yaml").read_text().startswith("# ")
    header, *lines = presets.lines()
    assert header == ("preset", "for", "costs") and [line[0] for line in lines] == NAMES
    for _, what, costs in lines:
        assert what.endswith(".") and costs and presets.COSTS not in what + costs
    assert {line[0]: line[2] for line in lines}["cifar10"] == "15 minutes of one CPU core"


def test_what_is_turned_on_again_is_as_the_repository_has_it() -> None:
    found = presets._sections(COMMITTED)
    parts = presets._sections(presets.PARTS.read_text())
    assert parts == {key: found[key] for key in parts} and {*parts} == {*OFF, "student"}


OFF = {part for name in SHORT for part, value in read_yaml(presets.FOLDER / f"{name}.yaml").items() if not value} | {
    "compress"
}


@pytest.mark.parametrize("name", SHORT)
def test_the_short_way_trains_teacher_and_student_and_ships_the_student(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder(tmp_path / "images", {"ball": 3, "cat": 3})
    specs: Any = build.build(
        params.check(parse(presets.apply(COMMITTED, name), "params.yaml"), "params.yaml"), graph.read(ROOT / "dvc.yaml")
    )
    trained = [each for each, spec in specs.items() if isinstance(spec, TrainingSpec)]
    assert trained == ["teacher", "student"]
    assert specs["student"].previous is None and specs["assistant/t4"].previous == "assistant/t3"
    assert [specs[f"compress/c{n}"].kind for n in (1, 2)] == ["quantise", "export"]
    assert specs["compress/c1"].previous == "student"
    for each in ("teacher", "student"):
        assert specs[each].training.architecture["pretrained"]
        assert specs[each].training.views == Views(preset="standard").model_dump(mode="json")
        own = {"photos": None, "photos-fast": {"size": specs["prepare"].data["size"]}}[name]
        assert specs[each].training.input == own, "pretrained networks would else be fed what they were trained on"
    assert specs["machine"].threads is None and specs["machine"].memory_format == "channels_last"


def test_a_part_is_switched_off_whole_whatever_stands_between_its_lines_or_after_them() -> None:
    whole = parse(COMMITTED, "params.yaml")
    text = COMMITTED.replace("  patience: 1 ", "# mine\n\n  patience: 1 ").rstrip("\n")
    applied = parse(presets.apply(text, "photos"), "params.yaml")
    assert applied["refinery"] is None and applied["ensemble"] == whole["ensemble"]
    last = COMMITTED.replace(parts := presets._sections(COMMITTED)["mutual"], "") + parts.rstrip("\n")
    assert parse(presets.apply(last, "photos"), "params.yaml") == parse(
        presets.apply(COMMITTED, "photos"), "params.yaml"
    )


def test_parts_that_are_not_there_come_back_too() -> None:
    without = "".join(text for text in COMMITTED.splitlines(keepends=True) if not text.startswith("direct:"))
    assert "direct" not in parse(without, "params.yaml")
    assert parse(presets.apply(without, "quick"), "params.yaml")["direct"] == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_makes_a_plan(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder(tmp_path / "images", {"ball": 3, "cat": 3})
    checked = params.check(parse(presets.apply(COMMITTED, name), "params.yaml"), "params.yaml")
    specs: Any = build.build(checked, graph.read(ROOT / "dvc.yaml"))
    wanted = read_yaml(presets.FOLDER / f"{name}.yaml")
    assert specs["prepare"].data["source"] == wanted["data"]["source"]
    assert specs["student"].training.recipe["epochs"] == wanted["student"]["recipe"]["epochs"]
    assert specs["teacher"].training.architecture["family"] == wanted["teacher"]["architecture"]["family"]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_all_decide_the_same_keys_so_that_none_leaves_a_trace(name: str) -> None:
    decided = [keys(read_yaml(presets.FOLDER / f"{each}.yaml")) for each in (name, "digits")]
    assert decided[0] - {".teacher.input", ".student.input"} == decided[1], "an input goes with its architecture"
    assert presets.apply(presets.apply(COMMITTED, name), "digits") == COMMITTED
    assert presets.apply(presets.apply(COMMITTED, "cifar10"), name) == presets.apply(COMMITTED, name)


def comments(text: str) -> list[str]:
    return [line.split("# ", 1)[1] for line in text.splitlines() if "# " in line and presets.MARK not in line]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SHORT])
def test_every_comment_stays(name: str) -> None:
    assert comments(presets.apply(COMMITTED, name)) == comments(COMMITTED)


@pytest.mark.parametrize("name", SHORT)
def test_of_a_part_that_is_switched_off_one_line_stays_with_its_comment(name: str) -> None:
    applied, blocks = presets.apply(COMMITTED, name), presets._sections(COMMITTED)
    within = [each for key in OFF - {"compress"} for each in comments("".join(blocks[key].splitlines(True)[1:]))]
    assert within and [each for each in comments(COMMITTED) if each not in comments(applied)] == [
        each for each in comments(COMMITTED) if each in within
    ]
    assert "\nmutual: null              # networks that teach each other" in applied
    assert "\nmethod: {}                # one student" in applied


def test_what_changes_is_shown_with_what_it_was(path: Path) -> None:
    header, *cells = presets.use("fashion-mnist", path, force=False)
    assert header == ("parameter", "before", "fashion-mnist")
    assert ("data.source", "digits", "fashion_mnist") in cells
    assert path.read_text().startswith("# preset fashion-mnist: ")
    assert presets.use("digits", path, force=False)[1:], "what a preset wrote may be overwritten by another"
    assert path.read_text() == COMMITTED


def test_a_part_that_is_switched_is_one_line(path: Path) -> None:
    cells = presets.use("photos", path, force=False)
    assert ("refinery", "on", "off") in cells and ("student.recipe.epochs", "150", "30") in cells
    assert not [key for key, *_ in cells if key.startswith(("refinery.", "method.", "baseline."))]
    assert ("mutual", "off", "on") in presets.use("digits", path, force=False)


def test_weights_of_another_architecture_go_with_it(path: Path) -> None:
    given = f"{{file: a.safetensors, sha256: {64 * 'a'}}}"
    imported = COMMITTED.replace("  weights: null ", f"  weights: {given} ")
    begun = re.sub(r"(student:.*\n  architecture: .*\n)", rf"\1  initial: {given}\n", COMMITTED, count=1)
    assert COMMITTED not in (imported, begun)
    for text in (imported, begun):
        path.write_text(text)
        presets.use("photos", path, force=True)
        assert path.read_text().split() == presets.apply(COMMITTED, "photos").split(), "but for where comments begin"


def test_changes_that_git_does_not_hold_are_kept(path: Path) -> None:
    changed = COMMITTED.replace("epochs: 150", "epochs: 151")
    path.write_text(changed)
    with pytest.raises(UserError, match="not committed: commit them"):
        presets.use("quick", path, force=False)
    assert path.read_text() == changed
    presets.use("quick", path, force=True)
    assert path.read_text() == presets.apply(changed, "quick")


def test_what_a_release_wrote_needs_no_commit_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`init`, then `use`, then another `use`; but what a person has changed since is kept."""
    folder = tmp_path / "mine"
    list(init(folder))
    monkeypatch.chdir(folder)
    path = Path("params.yaml")
    for name in ("photos", "quick"):
        presets.use(name, path, force=False)
        assert path.read_text() == presets.apply(COMMITTED, name)
    path.write_text(path.read_text().replace("flip: ", "flip:  "))
    with pytest.raises(UserError, match="not committed: commit them"):
        presets.use("photos", path, force=False)


def test_a_part_of_a_persons_own_comes_back_from_git(path: Path) -> None:
    own = COMMITTED.replace("  patience: 1 ", "  patience: 2 ").replace(
        "# generations of the same", "# mine, of the same"
    )
    path.write_text(own)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@e", "commit", "-qam", "y"], check=True)
    presets.use("photos", path, force=False)
    assert params.read(path).refinery is None
    presets.use("digits", path, force=False)
    assert path.read_text() == own


def test_own_settings_outside_of_the_preset_stay(path: Path) -> None:
    path.write_text(COMMITTED.replace("rule: probabilities", "rule: logits"))
    presets.use("quick", path, force=True)
    assert params.read(path).ensemble.rule == "logits"


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        (COMMITTED, "mnist", "unknown preset 'mnist', did you mean 'fashion-mnist'"),
        (COMMITTED.replace("ensemble:", "ensembles:"), "quick", "params.yaml: unknown key 'ensembles'"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(path: Path, text: str, name: str, sentence: str) -> None:
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        presets.use(name, path, force=True)
    assert path.read_text() == text


def test_a_preset_leaves_no_operation_of_other_views() -> None:
    scale = "  scale: 1.0 "
    assert COMMITTED.count(scale) == 1
    strong = COMMITTED.replace(scale, f"  preset: strong\n  hue: 0.1\n{scale}")
    applied = parse(presets.apply(strong, "cifar10"), "params.yaml")
    assert applied["views"] == {"shift": 4, "flip": True, "scale": 1.0}
