"""Every benchmark runs, with sizes that show nothing else; what it makes of its seconds is checked by hand."""

import importlib.util
import itertools
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from benchmarks import apart, calibrated, forecast, lowrank, pretrained, runtimes, smaller, ways, zoo
from benchmarks.__main__ import NAMES, app
from benchmarks.measure import Figure, interleaved, lines, of, ratio, table
from pipeline.base.errors import UserError

LONG = ("graph", "size")
OWN_TEST = ("others", "cluster")  # they need what not every machine has
WEIGHTS = Path(__file__).parents[2] / "shared" / "data" / "weights" / "tf_efficientnet_lite0.safetensors"


def drawn(folder: Path) -> Path:
    """An image folder of noise, of two classes."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 10), ("test", 2)):
        for label, number in itertools.product("ab", range(count)):
            path = folder / part / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    return folder


def test_the_names_are_these() -> None:
    assert list(NAMES) == [
        "stored",
        "live",
        "others",
        "loop",
        "feeding",
        "feed",
        "job",
        "predict",
        "topk",
        "reads",
        "labelling",
        "graph",
        "driver",
        "cluster",
        "precision",
        "layout",
        "together",
        "saving",
        "size",
    ]
    said = CliRunner().invoke(app, ["--help"]).output
    assert all(name in said for name in NAMES)


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # of a library of DVC's
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in NAMES if name not in OWN_TEST],
)
def test_each_runs(name: str, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    said = CliRunner().invoke(app, [name, "--tiny", "--out", str(out)], catch_exceptions=False).output
    value = json.loads(out.read_text())
    assert value["benchmark"] == name
    assert value["figures"]
    for figure in value["figures"]:
        assert figure["name"] in said
        assert figure["value"] is not None and figure["value"] >= 0


def test_all_go_on_after_the_last_one_and_name_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(name: str, tiny: bool) -> dict[str, Any]:
        ran.append(name)
        if name == "others":
            raise UserError("install timm")
        return {"benchmark": name, "machine": {}, "figures": [asdict(Figure("epoch", 2.0, 1.5, 2.5, 1.0))]}

    ran: list[str] = []
    out = tmp_path / "all.json"
    out.write_text(json.dumps([{"benchmark": "stored", "machine": {}, "figures": []}]))
    monkeypatch.setattr("benchmarks.__main__.measured", measured)
    said = CliRunner().invoke(app, ["all", "--out", str(out)], catch_exceptions=False).output
    assert ran == [name for name in NAMES if name != "stored"]
    assert "others is left out: install timm" in said
    rows = table(json.loads(out.read_text()))
    assert ("live", "epoch", "**2** [1.5, 2.5]", "≤ 1") in rows and len(rows) == len(NAMES) - 1


def test_what_forms_lose_is_of_what_is_read_back() -> None:
    """Dense loses rounding, more values and more components lose less, and no kept form misses the likeliest class."""
    drawn = np.random.default_rng(0)
    axes_RC = drawn.normal(size=(20, 100)) * np.linspace(2, 0.2, 20)[:, None]
    z_NC, sample_NC = (torch.from_numpy((drawn.normal(size=(n, 20)) @ axes_RC).astype(np.float32)) for n in (60, 200))
    found = {each.form: each for each in lowrank.losses("made", sample_NC, z_NC)}
    assert found["dense float32"].kl_1 == 0 and found["dense float16"].kl_1 < 1e-4
    topk = [found[f"top-k, k = {k}"] for k in lowrank.VALUES[100]]
    assert [each.kl_4 for each in topk] == sorted((each.kl_4 for each in topk), reverse=True)
    assert found["top-k, k = 14"].bytes == 44 and found["low-rank, k = 5, rank = 30"].bytes == 45
    assert found["low-rank, k = 5, rank = 30"].kl_4 < 0.1 * found["top-k, k = 14"].kl_4
    assert found["rank = 2 alone"].agreement < 0.9 < found["low-rank, k = 5, rank = 2"].agreement
    cells = lowrank.table([asdict(each) for each in found.values()])
    assert len(cells) == 1 + len(found) and {len(row) for row in cells} == {6}


def test_what_labels_take_is_told_of_each_step(tmp_path: Path) -> None:
    out = tmp_path / "labels.json"
    asked = ["labels", "--rows", "600", "--out", str(out), "--folder", str(tmp_path)]
    said = CliRunner().invoke(app, asked, catch_exceptions=False).output
    found = json.loads(out.read_text())
    assert len(found) == 14 and all(each["step"] in said and each["seconds"] > 0 for each in found)
    dense = [each["disk"] for each in found if each["form"] == "dense float16"]
    assert dense[0] == 0 and dense[1] > 3 * 600 * 1000 * 2, "complete after the second step"


def test_norms_compares_each_remedy_with_none(tmp_path: Path) -> None:
    out = tmp_path / "norms.json"
    said = CliRunner().invoke(app, ["norms", "--tiny", "--out", str(out)], catch_exceptions=False).output
    (row,) = json.loads(out.read_text())
    assert "momentum raised" in said and {len(each) for each in row["reached"].values()} == {1} and row["steps"] == 2


def test_unequal_compares_each_remedy_with_none(tmp_path: Path) -> None:
    out = tmp_path / "unequal.json"
    said = CliRunner().invoke(app, ["unequal", "--tiny", "--out", str(out)], catch_exceptions=False).output
    found = json.loads(out.read_text())
    assert found["images"] == sorted(found["images"], reverse=True) and found["images"][0] > 15 * found["images"][-1]
    assert all(arm in said and len(each["macro_f1"]) == 1 for arm, each in found["arms"].items())
    assert len({json.dumps(each) for each in found["arms"].values()}) == 3, "each arm is a training of its own"


def test_unlabelled_compares_all_images_with_the_few_at_as_many_steps(tmp_path: Path) -> None:
    out = tmp_path / "unlabelled.json"
    said = CliRunner().invoke(app, ["unlabelled", "--tiny", "--out", str(out)], catch_exceptions=False).output
    found = json.loads(out.read_text())
    known, bare = found["images"]
    assert known == 100 and bare > 5 * known
    assert all(arm in said and len(each) == 1 for arm, each in found["arms"].items())
    steps = found["steps"]
    long = {steps[arm] for arm in steps if "as many steps" in arm}
    assert long == {steps["taught on all"]} and steps["taught on all"] > 5 * steps["taught on the few"]


def test_the_zoo_goes_on_with_the_networks_that_its_file_lacks_and_names_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    tried: list[str] = []

    def alone(way: type[apart.Way], name: str, limit: float) -> dict[str, Any]:
        tried.append(name)
        found = dict.fromkeys(("built", "trained", "resumed"), True) | {"features": [["layer1", [4, 2, 2]]], "size": 8}
        return found | {"exported": "logits differ" if name == "bad" else True, "seconds": 1.0}

    monkeypatch.setattr(apart, "_alone", alone)
    out = tmp_path / "zoo.json"
    for names in (["good"], ["good", "bad"]):
        said = CliRunner().invoke(app, ["zoo", "--out", str(out), *names], catch_exceptions=False).output
    assert tried == ["good", "bad"]
    assert "bad: exported: logits differ" in said and "1 of 2 came through" in said
    assert zoo.table(json.loads(out.read_text())["networks"])[1:] == [
        ("bad", "8", "layer1 4x2x2", "yes", "yes", "yes", "no"),
        ("good", "8", "layer1 4x2x2", "yes", "yes", "yes", "yes"),
    ]


@pytest.mark.long
def test_a_network_is_made_smaller_in_each_way_and_what_fails_is_named(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    out = tmp_path / "smaller.json"
    asked = ["smaller", "--out", str(out), "lcnet_035", "levit_128s"]
    said = CliRunner().invoke(app, asked, catch_exceptions=False).output
    whole, failing = json.loads(out.read_text())["networks"].values()
    for step in ("pruned", "factorised"):
        assert 0.5 < whole[step]["flops"] <= smaller.LEFT and whole[step]["ms"] > 0
    assert whole["quantised"]["bytes"] < 0.5 * whole["exported"]["bytes"] and whole["peak_bytes"] > 2**27
    assert apart.failed(smaller.Smaller, whole) == {} and apart.failed(smaller.Smaller, failing).keys() == {"pruned"}
    assert "levit_128s, pruned: TypeError: a BatchNorm1d is not followed" in said
    cells = {row[0]: row for row in smaller.table({"lcnet_035": whole, "levit_128s": failing})}
    assert cells["levit_128s"][3] == "-" and cells["lcnet_035"][3].startswith("0.") and len(cells["network"]) == 7


@pytest.mark.long
def test_a_network_of_the_zoo_comes_through_and_one_that_is_none_is_named(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    found = zoo.measure(tmp_path / "zoo.json", ["lcnet_035", "no_such_network"], 300, print)["networks"]
    assert not zoo.failed(found["lcnet_035"]) and found["lcnet_035"]["difference"] < zoo.FAR
    assert zoo.failed(found["no_such_network"]).keys() == {"built"}


@pytest.mark.long
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights in ../shared/data")
def test_a_pretrained_network_is_measured_on_images_of_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    out = tmp_path / "pretrained.json"
    places = ["--data", str(drawn(tmp_path / "images")), "--weights", str(WEIGHTS), "--work", str(tmp_path / "work")]
    given = ["pretrained", "--tiny", *places, "--out", str(out), "--seeds"]
    said = CliRunner().invoke(app, [*given, "1"], catch_exceptions=False).output
    found = json.loads(out.read_text())["seeds"]["0"]
    assert found.keys() == {pretrained.PROBE, pretrained.TUNED, pretrained.TAUGHT, pretrained.HARD}
    assert found[pretrained.PROBE]["parameters"] == found[pretrained.TUNED]["parameters"] and "seed 0" in said
    assert "seed 0" not in CliRunner().invoke(app, [*given, "1"], catch_exceptions=False).output
    error = CliRunner().invoke(app, ["pretrained", *places, "--out", str(out)]).exception
    assert "pretrained.json is of another setting: name another file" in str(error)


@pytest.mark.long
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights in ../shared/data")
def test_a_teacher_is_the_same_by_each_way_that_brings_its_weights(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    out = tmp_path / "ways.json"
    places = ["--data", str(drawn(tmp_path / "images")), "--weights", str(WEIGHTS), "--work", str(tmp_path / "work")]
    said = CliRunner().invoke(app, ["ways", "--tiny", *places, "--out", str(out)], catch_exceptions=False).output
    found = json.loads(out.read_text())["ways"]
    assert found.keys() == {*ways.ORDER} and all(way in said for way in found)
    for way in (ways.HERE, ways.FILE, ways.CHECKPOINT, ways.OWN_FILE):
        assert found[way]["labels"] == found[way]["clean"] == 0 and found[way]["student_equal"], way
    assert all(found[way]["labels"] < 1e-4 for way in (ways.ONNX, ways.ANSWERS)) and found[ways.ONNX]["clean"] < 1e-4


@pytest.mark.long
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights in ../shared/data")
def test_files_that_ship_have_a_temperature_each(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    out = tmp_path / "calibrated.json"
    places = ["--data", str(drawn(tmp_path / "images")), "--weights", str(WEIGHTS), "--work", str(tmp_path / "work")]
    said = CliRunner().invoke(app, ["calibrated", "--tiny", *places, "--out", str(out)], catch_exceptions=False).output
    found = json.loads(out.read_text())["sets"]
    assert found.keys() == {calibrated.DIGITS, calibrated.CIFAR} and all(name in said for name in found)
    for forms in found.values():
        assert forms.keys() == calibrated.FILES.keys()
        assert all(each["drop"] <= each["most"] and each["temperature"] > 0 for each in forms.values())


@pytest.mark.long
@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights in ../shared/data")
def test_each_network_has_a_file_in_each_runtime(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    out = tmp_path / "runtimes.json"
    places = ["--data", str(drawn(tmp_path / "images")), "--weights", str(WEIGHTS), "--work", str(tmp_path / "work")]
    said = CliRunner().invoke(app, ["runtimes", "--tiny", *places, "--out", str(out)], catch_exceptions=False).output
    found = json.loads(out.read_text())["networks"]
    assert found.keys() == runtimes.NETWORKS.keys() and all(name in said for name in found)
    for forms in found.values():
        assert forms["float32"].keys() == {"whole", "images", *runtimes.FORMATS} - {"litert"}
        assert {"whole", "images", "onnx"} <= forms["int8"].keys() and "torch" not in forms["int8"]
        for told in (forms["float32"]["onnx"], forms["int8"]["onnx"]):
            assert told["interval"][0] <= told["drop"] <= told["interval"][1]
        assert (
            forms["float32"]["onnx"]["drop"] == 0 and forms["int8"]["onnx"]["bytes"] < forms["float32"]["onnx"]["bytes"]
        )


def test_streams_go_on_after_the_last_seed_and_refuse_a_file_of_another_setting(tmp_path: Path) -> None:
    out = tmp_path / "streams.json"
    given = ["streams", "--tiny", "--out", str(out), "--seeds"]
    CliRunner().invoke(app, [*given, "1"], catch_exceptions=False)
    first = json.loads(out.read_text())["seeds"]["0"]
    said = CliRunner().invoke(app, [*given, "2"], catch_exceptions=False).output
    whole = json.loads(out.read_text())
    assert "seed 0" not in said and whole["seeds"].keys() == {"0", "1"} and whole["seeds"]["0"] == first
    assert {each["count"] for name, each in whole["figures"].items() if name != "means"} == {2}
    error = CliRunner().invoke(app, ["streams", "--out", str(out)]).exception
    assert "streams.json is of another setting: name another file" in str(error)


@pytest.mark.long
def test_the_store_is_measured_and_goes_on_with_the_kind_that_its_file_lacks(tmp_path: Path) -> None:
    out = tmp_path / "store.json"
    given = ["store", "--tiny", "--out", str(out), "--folder", str(tmp_path / "made")]
    said = CliRunner().invoke(app, given, catch_exceptions=False).output
    kinds = json.loads(out.read_text())["kinds"]
    assert kinds.keys() == {"copy", "links"} and "one more photograph, seconds" in said
    for found in kinds.values():
        assert found["shards"] == found["one_more"]["shards_changed"] == 1
    linked, copied = (kinds[name]["bytes"] for name in ("links", "copy"))
    # Beside a few photographs specs take room, too, the same in both.
    assert copied["together"] - linked["together"] > 0.8 * linked["workspace"]
    again = CliRunner().invoke(app, given, catch_exceptions=False).output
    assert "prepared in" not in again
    error = CliRunner().invoke(app, [arg for arg in given if arg != "--tiny"]).exception
    assert "is of another setting" in str(error)


def test_streams_without_images_say_so(tmp_path: Path) -> None:
    error = CliRunner().invoke(app, ["streams", "--out", str(tmp_path / "a.json"), "--data", str(tmp_path)]).exception
    assert "data.source fashion_mnist is not whole under data.root" in str(error)


def test_others_run_or_name_what_to_install(tmp_path: Path) -> None:
    if all(map(importlib.util.find_spec, ("torchdistill", "timm"))):
        assert CliRunner().invoke(app, ["others", "--tiny"], catch_exceptions=False).exit_code == 0
        return
    error = CliRunner().invoke(app, ["others", "--tiny"]).exception
    assert "pip install --no-deps torchdistill timm" in str(error)


def test_arms_alternate_and_warm_up_first() -> None:
    called: list[str] = []
    ticks = iter(range(100))
    arms = {name: (lambda name=name: called.append(name)) for name in "ab"}
    seconds = interleaved(arms, 3, lambda: float(next(ticks)))
    assert called == [*"ab", *"ba", *"ab", *"ba"]
    assert seconds == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    seconds = {"a": [2.0, 9.0, 4.0, 6.0, 5.0], "b": [1.0, 1.0, 1.0, 2.0, 1.0]}
    found = ratio("a ÷ b", seconds, "a", "b", goal=4)
    assert (found.low, found.value, found.high) == (3.0, 4.0, 5.0)
    assert found.seconds == {"a": 5.0, "b": 1.0}
    assert found.met


@pytest.mark.parametrize(
    ("value", "most", "met"), [(1.0, True, True), (1.1, True, False), (1.1, False, True), (0.9, False, False)]
)
def test_a_goal_bounds_from_its_side(value: float, most: bool, met: bool) -> None:
    assert of("x", [value], goal=1.0, most=most).met is met


def test_what_was_not_measured_is_called_so() -> None:
    assert lines([Figure("x", None, goal=2.0, unit=" s", note="no GPU")])[1] == (
        "x", "not measured", "", "≤ 2 s", "", "no GPU",
    )  # fmt: skip


@pytest.mark.long
def test_a_forecast_is_held_against_what_ran(tmp_path: Path) -> None:
    out = tmp_path / "forecast.json"
    asked = ["forecast", "--tiny", "--runs", "1", "--work", str(tmp_path), "--out", str(out)]
    said = CliRunner().invoke(app, asked, catch_exceptions=False).output
    (found,) = json.loads(out.read_text())
    assert (
        found["change"]["key"] == "student.recipe.lr" and found["wrong"] == [] and [*found["by_stage"]] == ["student"]
    )
    assert found["took"] > 0 and found["told"] > 0 and found["least"] == found["most"] == found["told"]
    assert "student.recipe.lr: " in said


def test_a_forecast_is_wrong_where_another_stage_runs_and_off_by_its_seconds() -> None:
    said = [
        {"stage": name, "state": state, "seconds": seconds}
        for name, state, seconds in (
            ("a", "runs", 2.0),
            ("b", "may run", 5.0),
            ("c", "cached", None),
            ("d", "runs", 1.0),
            ("e", "runs", None),
        )
    ]
    found = forecast.compared(said, {"plan": 9.0, "a": 6.0, "c": 1.0, "e": 4.0})
    assert found["wrong"] == ["c", "d"] and found["stages"] == 3
    assert (found["told"], found["took"], found["unknown"]) == (2.0, 6.0, 5.0)
    assert (found["least"], found["most"]) == (3.0, 8.0)
    assert forecast.factor(found) == pytest.approx(3.0) and forecast.factor({**found, "took": 2 / 3}) == pytest.approx(
        3
    )
    assert forecast.factor({**found, "told": 0.0}) is None
    cells = forecast.table(
        [{"change": {"key": "lr", "value": 1}, **found}, {"change": {"key": "k", "value": 2}, **found}]
    )
    assert {len(row) for row in cells} == {7} and cells[-1][2:] == ("4", "", "", "**3.00 ×**", "")
