"""The page of a whole run: well-formed, self-contained, told in words too, and true to the numbers."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files
from pipeline.base.paths import DATA
from pipeline.data import prepared
from pipeline.labels import store
from pipeline.labels.store import open_labels
from pipeline.lineage.node import EMPTY_CURVE
from pipeline.planning.specs.readers import ReportSpec
from pipeline.planning.specs.spec import read_spec
from pipeline.report import (
    agreement,
    attention,
    compression,
    curves,
    generations,
    lineage,
    methods,
    soft_labels,
    tradeoff,
)
from pipeline.report.page import headline, render, tiles
from pipeline.report.run import Reported
from tests.console.hostile import HOSTILE, check
from tests.report.pages import Page, parse
from tests.scratch import Scratch

KEYS = [
    "lineage",
    "generations",
    "methods",
    "tradeoff",
    "compression",
    "ships",
    "calibration",
    "agreement",
    "soft-labels",
    "attention",
    "classes",
    "curves",
    "cost",
]
STRANGE = ['<script>alert("x")</script>', "<img src=x onerror=alert(1)>", "a & b", "long " * 60]


@pytest.fixture
def run(lineage: Scratch, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reported]:
    monkeypatch.chdir(lineage.folder)
    yield Reported(read_spec("report", ReportSpec))


@pytest.fixture(scope="module")
def html(lineage: Scratch) -> str:
    """What the stage wrote when DVC ran it."""
    return (lineage.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return parse(html)


def changed(scratch: Scratch, path: str, change: dict[str, Any], sealed: bool = False) -> None:
    """Write some keys of a JSON file anew, as a whole file."""
    file = scratch.folder / path
    value = files.read_sealed(file) if sealed else files.read_json(file)
    (files.write_sealed if sealed else files.write_json)(file, value | change)


def test_it_is_well_formed_and_has_every_section(page: Page) -> None:
    assert page.faults == []
    assert [each["id"] for each in page.all("section")] == KEYS
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [each["href"] for each in page.all("a")]
    assert {f"#{key}" for key in KEYS} <= {*links}
    assert all(link and link.startswith("#") and link[1:] in ids for link in links)


def test_it_needs_nothing_from_elsewhere(html: str, page: Page) -> None:
    assert not re.findall(r"https?://|//\w+\.|@import|url\(", html)
    assert page.all("script") == []
    sources = [value for _, a in page.elements for key, value in a.items() if key in ("src", "href", "srcset")]
    assert all(value and value.startswith(("#", "data:")) for value in sources)
    assert not any(key.startswith("on") for _, a in page.elements for key in a)
    policy = next(each for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy["content"] or "")


def test_all_that_is_drawn_is_described_too(page: Page) -> None:
    assert all((each["alt"] or "").strip() for each in page.all("img"))
    names = {a["id"] for tag, a in page.elements if tag in ("title", "desc") and "id" in a}
    drawn = [each for each in page.all("svg") if each.get("aria-hidden") != "true"]
    assert len(drawn) >= 10
    for each in drawn:
        assert each["role"] == "img"
        assert set((each["aria-labelledby"] or "").split()) <= names
    # What scrolls is reached by keyboard, and says what it is.
    scrolling = [each for each in page.all("div") if each.get("class") == "scroll"]
    assert scrolling
    assert all(each["tabindex"] == "0" and each["role"] == "region" and each["aria-label"] for each in scrolling)
    headings = [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[:2] == ["h1", "h2"]


def test_it_says_the_accuracy_of_every_network(page: Page, run: Reported) -> None:
    for entry in run.networks:
        assert entry.name in page.text
        if entry.test is not None:
            assert f"{100 * entry.test:.1f}" in page.text


def test_the_headline_says_how_far_and_how_sure(run: Reported) -> None:
    said = headline(run)
    arm = next(arm for arm in methods.arms(run) if arm.name == "student")
    assert f"reaches {100 * arm.test:.1f} % on test" in said
    assert {"better": "points above", "worse": "points below", "open": "too little to tell"}[arm.verdict] in said
    assert "one seed" in said


def test_the_first_figures_are_those_of_the_main_networks(run: Reported) -> None:
    shown = {tile["name"]: tile for tile in tiles(run)}
    assert list(shown) == ["teacher", "student", "baseline", "refined", "ensemble", "compressed"]
    base = run.entries["baseline"].test or 0
    assert shown["baseline"]["difference"] is None
    assert shown["teacher"]["difference"] == pytest.approx((run.entries["teacher"].test or 0) - base)
    assert shown["compressed"]["test"] == run.entries["compress/c7"].test


def test_the_same_run_gives_the_same_bytes(html: str, run: Reported) -> None:
    assert render(run) == html


def test_the_lineage_tells_carried_from_trained(run: Reported) -> None:
    table = lineage.rows(run)
    kinds = {row.name: row.kind for row in table}
    assert kinds["teacher"] == kinds["refinery/g1"] == kinds["mutual"] == "trained"
    assert kinds["ensemble"] == "computed"
    assert kinds["refined"] == "picked"
    assert kinds["assistant/t2 … t3"] == kinds["refinery/g2 … g4"] == kinds["born_again/g2 … g4"] == "carried"
    by_name = {row.name: row for row in table}
    assert by_name["student"].teachers == ("assistant/t1",)
    assert by_name["refinery/g2 … g4"].teachers == ("refinery/g1",)
    assert by_name["refined"].teachers == ("baseline",)
    assert by_name["direct"].test == run.entries["direct"].metrics["test"]["accuracy"]
    assert "method/dkd" in run.skipped


def test_the_refinery_stopped_and_born_again_did_not(run: Reported) -> None:
    refinery, born_again = (generations.generations(run, family) for family in ("refinery", "born_again"))
    assert refinery is not None
    assert born_again is not None
    assert (refinery.names, refinery.asked, refinery.stopped, refinery.best) == (
        ["baseline", "refinery/g1"],
        3,
        True,
        0,
    )
    assert refinery.validation[1] < refinery.validation[0]
    assert refinery.beside == ("refined", refinery.test[0])
    assert (born_again.names, born_again.asked, born_again.stopped) == (["teacher", "born_again/g1"], 1, False)
    assert born_again.beside is not None
    assert born_again.beside[0] == "ensemble"
    assert "Stopped by itself after 1 generation of the 3 asked for" in generations.description(refinery)


def test_methods_are_compared_image_by_image(run: Reported) -> None:
    arms = methods.arms(run)
    names = {arm.name for arm in arms}
    assert {"student", "direct", "refinery/g1", "method/soft_targets"} <= names
    assert all(run.entries[name].node.architecture == run.entries["baseline"].node.architecture for name in names)
    assert not names & {"baseline", "teacher", "ensemble"}
    base = run.entries["baseline"].test or 0
    for arm in arms:
        own = run.entries[arm.name].test or 0
        assert arm.difference.mean == pytest.approx(own - base)
        assert arm.only_it is not None and arm.only_base is not None
        assert arm.only_it - arm.only_base == round(arm.difference.mean * len(run.y_N))
    assert [arm.difference.mean for arm in arms] == sorted((arm.difference.mean for arm in arms), reverse=True)


def test_an_ensemble_costs_what_its_members_cost(run: Reported) -> None:
    for cost in tradeoff.costs(run):
        found = {point.name: point for point in tradeoff.points(run, cost)}
        # The tiny run's ensemble has one member.
        assert found["ensemble"].cost == pytest.approx(found["born_again/g1"].cost)
        assert found["teacher"].accuracy == run.entries["teacher"].test
        assert any(point.front for point in found.values())
    size = {point.name: point.cost for point in tradeoff.points(run, tradeoff.COSTS[0])}
    assert size["teacher"] == Path("artifacts/teacher/model.safetensors").stat().st_size


def test_the_compress_chain_is_told_step_by_step(run: Reported) -> None:
    found = compression.steps(run)
    assert [step.name for step in found] == ["", "distil", "prune", "tune", "quantise", "export"]
    assert found[0].node == "teacher"
    for step in found:
        metrics = run.entries[step.node].metrics
        assert (step.test, step.bytes) == (metrics["test"]["accuracy"], metrics["bytes"])
        assert step.smaller == run.entries["teacher"].metrics["bytes"] / metrics["bytes"]
    assert found[0].faster is None
    assert found[-1].faster == run.entries[found[-1].node].metrics["cost"]["latency"]["batch_1"]["ratio"]
    times = {point.name: point.cost for point in tradeoff.points(run, tradeoff.costs(run)[2])}
    shipped = run.entries[found[-1].node].metrics["cost"]["latency"]["batch_1"]["ms"]
    assert times[found[-1].node] == pytest.approx(shipped / 1000)


def test_agreement_is_symmetric_and_is_cut_to_what_can_be_read(run: Reported) -> None:
    found = agreement.agreement(run)
    names = [entry.name for entry in found.entries]
    at = names.index("direct"), names.index("teacher")
    assert found.shares[at] == found.shares[at[::-1]] == run.entries["direct"].metrics["teacher"]["agreement"]
    assert found.left_out == max(0, len(run.answering) - agreement.MOST)
    few = agreement.agreement(run, 3)
    assert [entry.name for entry in few.entries] == ["teacher", "assistant/t1", "student"]
    assert few.left_out == len(run.answering) - 3


def test_a_crop_is_the_one_that_the_teacher_labelled(run: Reported) -> None:
    """The stored label of (view, row) is what the teacher says of the pixels that are shown."""
    import torch

    from pipeline.config.views import Views
    from pipeline.data.views import describe, normalise
    from pipeline.labels.store import open_labels
    from pipeline.models.build import rebuild
    from pipeline.models.files import load_weights

    node, data = run.entries["teacher"].node, run.data
    views = Views(**run.spec.views)
    assert node.architecture is not None
    model = rebuild(node.architecture).eval()
    load_weights(model, node.weights, "the teacher")
    stream = describe(views, run.spec.views_seed, "labels", len(data.train))
    recorded = node.hashes["labels"]
    labels = open_labels(node.labels, recorded=recorded, data_hash=data.hash, views=stream, classes=data.classes)
    for v, row in ((1, 0), (2, 17), (3, 99)):
        pixels = torch.from_numpy(soft_labels.crop(data, views, run.spec.views_seed, "labels", v, row))
        x_1CHW = normalise(pixels[None], torch.tensor(data.mean), torch.tensor(data.std))
        with torch.no_grad():
            assert torch.allclose(model(x_1CHW)[0], labels.view(v)[row], atol=1e-5)


def test_attention_is_a_map_of_each_image(run: Reported) -> None:
    found = attention.maps(run.entries["teacher"], run, [0, 5, 9])
    assert found is not None
    assert found.q_BHW.shape == (3, 4, 4)
    assert (found.q_BHW.min((1, 2)), found.q_BHW.max((1, 2))) == (pytest.approx(0), pytest.approx(1))


def test_curves_end_where_training_ended(run: Reported) -> None:
    found = {each.name: each for each in curves.lines(run, ("teacher", "mutual", "baseline"))}
    assert found["teacher"].accuracy[-1] == run.entries["teacher"].validation
    assert found["mutual"].accuracy[-1] == run.entries["mutual"].validation
    assert (found["teacher"].epochs[-1], found["baseline"].epochs[-1]) == (4, 60)


def test_names_of_strangers_are_text(copied: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied.folder)
    names = [*STRANGE, HOSTILE, " ", *(str(n) for n in range(len(STRANGE) + 2, 10))]
    # Labels are bound to the classes: they, too, are given by these names.
    real, read = open_labels, prepared.read
    classes = read(DATA).classes
    monkeypatch.setattr(prepared, "read", lambda folder: dataclasses.replace(read(folder), classes=tuple(names)))
    monkeypatch.setattr(store, "open_labels", lambda *args, **bound: real(*args, **{**bound, "classes": classes}))
    html = render(Reported(read_spec("report", ReportSpec)))
    page = parse(html)
    assert page.faults == []
    assert page.all("script") == []
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert "a & b" in page.text
    # All of a name of 300 letters stands nowhere but in a tooltip.
    assert STRANGE[3] not in page.text
    check(html)
    assert '" "' in page.text, "a blank name stands in quotes"


def test_what_is_not_there_is_left_out(copied: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without chains and methods, and with a student that torch cannot run."""
    monkeypatch.chdir(copied.folder)
    changed(copied, "artifacts/student/node.json", {"format": "onnx", "provides": ["predictions"]}, sealed=True)
    spec = read_spec("report", ReportSpec)
    few = Reported(dataclasses.replace(spec, nodes=("teacher", "student", "baseline", "refined", "ensemble")))
    page = parse(render(few))
    assert page.faults == []
    assert [each["id"] for each in page.all("section")] == [
        key for key in KEYS if key not in ("generations", "compression", "ships")
    ]
    assert "Attention of teacher" in str(page.all("img"))
    assert "Attention of student" not in str(page.all("img"))


def test_an_imported_teacher_is_told_apart(copied: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied.folder)
    changed(copied, "artifacts/teacher/node.json", {"status": "imported"}, sealed=True)
    (copied.folder / "curves" / "teacher.csv").write_text(EMPTY_CURVE)
    run = Reported(read_spec("report", ReportSpec))
    assert lineage.rows(run)[0].kind == lineage.rows(run)[0].origin == "imported"
    assert "teacher" not in {line.name for line in curves.lines(run, ("teacher", "student"))}
    assert parse(render(run)).faults == []


def test_a_run_of_one_network_has_a_page(copied: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied.folder)
    page = parse(render(Reported(dataclasses.replace(read_spec("report", ReportSpec), nodes=("teacher",)))))
    assert page.faults == []
    there = [each["id"] for each in page.all("section")]
    assert there == ["lineage", "tradeoff", "calibration", "soft-labels", "attention", "curves", "cost"]


@pytest.mark.long
@pytest.mark.parametrize("damage", ["", "epoch,validation_accuracy\n1,x\n"])
def test_a_damaged_curve_is_named(copied: Scratch, damage: str) -> None:
    path = copied.folder / "curves" / "teacher.csv"
    path.write_text(damage)
    if not damage:
        path.unlink()
    said = copied.stage("report", code=1)
    assert said.startswith("error: curves/teacher.csv cannot be used")
    assert said.count("\n") == 1


@pytest.mark.long
def test_a_template_is_part_of_the_report_and_of_nothing_else(copied: Scratch) -> None:
    path = copied.folder / "pipeline/report/templates/style.css"
    path.write_text(path.read_text() + "/* other */\n")
    assert copied.repro() == ["plan", "report"]
