"""Stages of a shell, looked at and then run by DVC: what is said of them is what happens, change after change."""

import hashlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.base.errors import UserError
from pipeline.dvc import cache, looking
from pipeline.dvc.run_cache import RunCache
from pipeline.engines.forecast import Cause, Forecast, forecasts
from tests.dvc.test_internals import found as of_dvc
from tests.scratch import RAN, Scratch

# Each leaves the first letter of what it reads, so that it may leave the same of something else.
LETTER = "cut -c1"
STAGES: dict[str, Any] = {
    "plan": {"cmd": "rm -rf plan; cp -r wanted plan", "always_changed": True, "outs": ["plan"]},
    "first": {"cmd": f"{LETTER} plan/first > first", "deps": ["plan/first"], "outs": ["first"]},
    "second": {
        "cmd": f"cat plan/second first | {LETTER} > second; mkdir -p more; date +%N > more/time",
        "deps": ["plan/second", "first"],
        "outs": ["second", "more"],
    },
    "third": {
        "cmd": f"cat second source | {LETTER} > third",
        "deps": ["second", "source", "second"],
        "outs": ["third"],
    },
    "inner": {"cmd": "cat more/time > inner", "deps": ["more/time"], "outs": ["inner"]},
    "last": {"cmd": "cat plan/last first third > last", "deps": ["plan/last", "first", "third"], "outs": ["last"]},
}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a library of DVC's


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scratch]:
    """A repository of these stages, all of which have run; it is the current folder."""
    scratch = Scratch(tmp_path / "repository")
    scratch.folder.mkdir()
    monkeypatch.chdir(scratch.folder)
    for name, value in scratch.environment.items():
        monkeypatch.setenv(name, value)
    of_dvc("dvc.repo", "Repo").init(no_scm=True).close()
    Path("wanted").mkdir()
    for name in ("wanted/first", "wanted/second", "wanted/last", "source"):
        Path(name).write_text("a1\n")
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    assert {*scratch.repro()} == {*STAGES}
    yield scratch


def told(*targets: str) -> dict[str, Forecast]:
    """What is said of each stage but `plan`."""
    planned = {f"plan/{path.name}": hashlib.md5(path.read_bytes()).hexdigest() for path in Path("wanted").iterdir()}
    stages = looking.stages([*targets], planned)
    found = {each.stage.name: each for each in forecasts(stages, planned, RunCache(cache.folder()))}
    assert found.pop("plan").causes == (Cause("always"),)
    return found


def check(scratch: Scratch) -> dict[str, Forecast]:
    """Say, run, compare."""
    found = told()
    printed = scratch.run("dvc", "repro")
    ran = {*RAN.findall(printed)} - {"plan"}
    said = {kind: {name for name, each in found.items() if each.verdict == kind} for kind in ("runs", "cached")}
    assert said["runs"] <= ran and not said["cached"] & ran, (said, printed)
    for each in found.values():
        for path, md5 in each.outputs.items():
            if not md5.endswith(".dir"):
                assert hashlib.md5(Path(path).read_bytes()).hexdigest() == md5, "what is known comes to be"
    return found


def content(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """When every file and folder was changed, and what is in it."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")}


def verdicts(found: dict[str, Forecast]) -> dict[str, str]:
    return {name: each.verdict for name, each in found.items()}


def test_what_is_done_is_cached(scratch: Scratch) -> None:
    found = told()
    assert [*found] == [name for name in STAGES if name != "plan"], "in the order of dvc.yaml"
    assert {*verdicts(found).values()} == {"cached"}
    assert not any(each.causes for each in found.values())
    assert [*told("inner")] == ["first", "second", "inner"]
    with pytest.raises(UserError, match="unknown stage 'frist', did you mean 'first'"):
        told("frist")


def test_what_is_due_runs_and_who_reads_it_may(scratch: Scratch) -> None:
    Path("wanted/second").write_text("b1\n")
    found = check(scratch)
    maybe = dict.fromkeys(["third", "inner", "last"], "may run")
    assert verdicts(found) == {"first": "cached", "second": "runs", **maybe}
    assert found["second"].causes == (Cause("input", "plan/second"),)
    assert found["third"].causes == (Cause("rewritten", "second", "second"),)
    assert found["inner"].causes == (Cause("rewritten", "more/time", "second"),)


def test_of_what_has_run_before_the_result_is_known(scratch: Scratch) -> None:
    Path("wanted/first").write_text("b1\n")
    check(scratch)
    Path("wanted/first").write_text("a1\n")
    found = check(scratch)
    inner = found.pop("inner")
    assert {*verdicts(found).values()} == {"cached"}
    assert inner.verdict == "may run", "what it reads lies in a folder that is brought back, into which nobody looks"
    assert found["first"].causes == (Cause("input", "plan/first"),)
    assert found["last"].causes == (Cause("input", "first"), Cause("input", "third")), "known, and others"


@pytest.mark.long
def test_what_may_have_run_before_may_run(scratch: Scratch) -> None:
    """Of `second` what it reads is not known; it surely differs, and yet DVC may have a run of just that."""
    for first, second in (("a1", "b1"), ("c1", "a1")):
        Path("wanted/first").write_text(f"{first}\n")
        Path("wanted/second").write_text(f"{second}\n")
        check(scratch)
    Path("wanted/first").write_text("a3\n")
    Path("wanted/second").write_text("b1\n")
    found = check(scratch)
    assert (found["first"].verdict, found["second"].verdict) == ("runs", "may run")
    Path("wanted/first").write_text("b3\n")
    Path("wanted/second").write_text("c3\n")
    found = check(scratch)
    assert (found["first"].verdict, found["second"].verdict) == ("runs", "runs")


@pytest.mark.long
def test_what_is_gone_comes_back_or_is_made_anew(scratch: Scratch) -> None:
    Path("first").unlink()
    shutil.rmtree("more")
    Path("third").write_text("x")
    found = check(scratch)
    assert found.pop("inner").verdict == "may run"
    assert {*verdicts(found).values()} == {"cached"}
    assert found["first"].causes == (Cause("output", "first", "is missing"),)
    assert found["third"].causes == (Cause("output", "third", "was changed"),)
    for path in Path(".dvc/cache/files/md5").glob("*/*"):
        path.unlink()
    found = check(scratch)
    assert verdicts(found)["first"] == "runs"
    assert found["first"].causes == (Cause("output", "first", "is not in DVC's cache"),)


def test_a_damaged_file_of_the_cache_is_noticed_where_dvc_does_and_stays(scratch: Scratch) -> None:
    lock = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    kept = cache.path(Path(".dvc/cache").resolve(), lock["third"]["outs"][0]["md5"])
    kept.chmod(0o644)
    kept.write_text("damaged")
    assert told()["third"].causes == (Cause("output", "third", "is not in DVC's cache"),)
    assert kept.read_text() == "damaged", "DVC's own status removes it"
    assert check(scratch)["third"].verdict == "runs"


@pytest.mark.parametrize("as_new", [False, True], ids=["", "as cloned"])
def test_nothing_is_written(scratch: Scratch, as_new: bool) -> None:
    Path("wanted/first").write_text("b1\n")
    Path("source").write_text("b1\n")
    if as_new:
        shutil.rmtree(".dvc/tmp")
    before = content(scratch.folder)
    assert told()["first"].verdict == "runs"
    assert content(scratch.folder) == before


def test_other_commands_and_other_inputs_run(scratch: Scratch) -> None:
    stages = {**STAGES, "first": {**STAGES["first"], "cmd": "cat plan/first > first"}}
    stages["inner"] = {**STAGES["inner"], "deps": ["more/time", "source"]}
    stages["new"] = {"cmd": "cat nothing > new", "deps": ["nothing"], "outs": ["new"]}
    stages["still"] = {"cmd": "cat source > still", "deps": ["source"], "outs": ["still"], "frozen": True}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    found = told()
    assert found["first"].causes == (Cause("command"),)
    assert found["inner"].causes == (Cause("new input", "source"),)
    assert (found["new"].verdict, found["new"].causes) == ("runs", (Cause("new"),))
    assert found["still"].verdict == "cached"


@pytest.mark.long
def test_what_reads_params_may_run_where_they_changed(scratch: Scratch) -> None:
    """What DVC would find in its cache for them is not looked up."""
    stages = {**STAGES, "third": {**STAGES["third"], "params": ["rate"]}}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    Path("params.yaml").write_text("rate: 1\n")
    check(scratch)
    assert told()["third"].verdict == "cached"
    Path("params.yaml").write_text("rate: 2\n")
    found = check(scratch)
    assert (found["third"].verdict, found["third"].causes) == ("may run", (Cause("input", "params.yaml"),))


@pytest.mark.parametrize("steps", [4, pytest.param(40, marks=pytest.mark.long)])
def test_a_random_walk(scratch: Scratch, steps: int) -> None:
    choose = random.Random(steps)
    counted = dict.fromkeys(("runs", "may run", "cached"), 0)
    for _ in range(steps):
        for _ in range(choose.choice((1, 1, 2, 3))):
            name = choose.choice(["wanted/first", "wanted/second", "wanted/last", "source", "gone", "lost"])
            if name == "gone":
                Path(choose.choice(["first", "second", "third", "last", "more/time"])).unlink(missing_ok=True)
            elif name == "lost":
                kept = sorted(Path(".dvc/cache/files/md5").glob("*/*"))
                choose.choice(kept).unlink()
            else:
                Path(name).write_text(choose.choice(["a1\n", "a2\n", "b1\n"]))
        for each in check(scratch).values():
            counted[each.verdict] += 1
    assert all(counted.values()), counted
