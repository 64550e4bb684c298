"""What is logged of labels that cannot give what an objective asks of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.paths import DATA
from pipeline.config.extension import OBJECTIVES
from pipeline.config.term import complete_term
from pipeline.config.views import Views
from pipeline.data import prepared
from pipeline.data.views import augment, draw
from pipeline.dvc.training_state import VARIABLE
from pipeline.labels.layout import Format
from pipeline.labels.store import Labels
from pipeline.lineage import node
from pipeline.training.export import Inference
from pipeline.training.labelling import kept_parts
from pipeline.training.learn import learn, load, open_teacher
from pipeline.training.seen_views import with_seen_views
from pipeline.training.suited import warn_of_tail
from pipeline.training.teacher import StoredLabels
from tests.training import runs

TOPK = {"labels": {"kind": "topk", "k": 3}}


def test_parts_of_another_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    for capability, there in (("AVX2", False), ("AVX2", True), ("AVX512", False), ("AVX512", True)):
        with kept_parts("teacher", "key", {"threads": 1, "CPU capability": capability}) as parts:
            assert (parts / "parts").exists() is there
            (parts / "parts").touch()
    assert capsys.readouterr().out == (
        "teacher: labels that are there are not used: CPU capability was AVX2, is AVX512, "
        "and that decides the last bits of a result\n"
    )


def test_labels_of_other_weights_are_not_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same node, data and views: only what the network gives is another."""
    with runs.inside(tmp_path):
        spec = runs.furnish(tmp_path)["teacher"]
        first = labels_of("teacher")
        assert "labels were finished before" not in capsys.readouterr().out
        learn(spec)
        assert "teacher: labels were finished before" in capsys.readouterr().out
        assert labels_of("teacher") == first
        learn(runs.changed(spec, seed=1))
        assert "finished before" not in capsys.readouterr().out
        other = labels_of("teacher")
        assert other.keys() == first.keys() and all(other[name] != first[name] for name in first)


def labels_of(name: str) -> dict[str, bytes]:
    """The bytes of a node's label files."""
    return {path.name: path.read_bytes() for path in node.read(name).labels.iterdir()}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("topk")
    with runs.inside(folder):
        yield runs.furnish(folder, TOPK)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES.names() if "t_BC" in OBJECTIVES.needs(name)])
def test_a_term_that_asks_for_more_than_the_labels_hold_is_named(
    specs: dict[str, Any], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Logits themselves, or probabilities at a temperature above 1; those at 1 are held."""
    settings, stored = complete_term(name, {}, name), labels(specs)
    capsys.readouterr()
    warn_of_tail(runs.changed(specs["direct"], objective={name: settings}), stored)
    printed = capsys.readouterr().out
    on_logits, hot = name in ("logit_matching", "logit_standardisation"), settings.get("temperature", 1) > 1
    assert printed.startswith("direct: labels.kind topk keeps 3 of 10 logits") == (on_logits or hot)
    assert (f"for {name}, which compares logits," in printed) == on_logits
    assert (f"at {settings.get('temperature', 1):g} " in printed) == hot


def labels(specs: dict[str, Any]) -> Labels:
    data = prepared.read(DATA)
    spec = with_seen_views(specs["direct"], len(data.train), len(data.classes))
    teacher, _ = open_teacher(spec, data, runs.CPU)
    assert isinstance(teacher, StoredLabels)
    return teacher.labels


@pytest.mark.parametrize(("temperature", "warned"), [(4.0, True), (1.0, False)])
def test_a_tail_that_is_spread_evenly_is_named_where_it_weighs_much(
    specs: dict[str, Any], capsys: pytest.CaptureFixture[str], temperature: float, warned: bool, tmp_path: Path
) -> None:
    of = runs.training(specs["direct"], objective={"soft_targets": {"weight": 1.0, "temperature": temperature}})
    printed = capsys.readouterr().out
    assert ("direct: labels.kind topk keeps 3 of 10 logits" in printed) == warned
    runs.run(of, tmp_path)


def test_low_rank_labels_teach_at_any_temperature_and_without_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Near to what the teacher answers live, on logits as at a high temperature; its likeliest class is kept."""
    change = {"labels": {"kind": "lowrank", "k": 2, "rank": 6}, "method": {"logit_matching": {}}}
    with runs.inside(tmp_path):
        specs = runs.furnish(tmp_path, change)
        stored = labels(specs)
        assert stored.header.format == Format("lowrank", "float16", 2, 6)
        capsys.readouterr()
        for name in ("direct", "method/logit_matching"):
            of = runs.training(specs[name])
            runs.run(of, tmp_path / name)
        assert "labels.kind" not in capsys.readouterr().out
        data, spec = prepared.read(DATA), specs["teacher"]
        model = load(node.read("teacher"), runs.CPU).eval()
        views = Views(**spec.forward.views)
        drawn = draw(views, spec.forward.views_seed, "labels", 1, len(data.train), data.size)
        rows_N = torch.arange(len(data.train))
        statistics = (torch.tensor(data.mean), torch.tensor(data.std))
        with torch.no_grad():
            live_NC = model(augment(torch.from_numpy(data.train.images[:].copy()), drawn, rows_N, *statistics))
        found_NC = stored.view(1)
    assert torch.equal(found_NC.argmax(1), live_NC.argmax(1))
    assert (found_NC - live_NC).square().mean() < 0.1 * live_NC.var()


def test_what_was_written_of_one_stream_is_not_taken_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runs.inside(tmp_path):
        spec = runs.furnish(tmp_path)["teacher"]
        data, teacher = prepared.read(DATA), node.read("teacher")
        inference = Inference(runs.CPU, load(teacher, runs.CPU).eval(), data)
        assert teacher.architecture is not None
        hashes = [
            inference.label(spec, teacher.architecture, tmp_path / stream, teacher.hashes["weights"], stream)
            for stream in ("labels", "labels_2")
        ]
        first, second = ((tmp_path / stream / "view_001.safetensors").read_bytes() for stream in ("labels", "labels_2"))
    assert first != second
    assert hashes[0] != hashes[1]
