"""Two hosts on one machine: counted by hand, and run where this machine lets us make some."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import cluster, namespaces
from benchmarks.__main__ import app
from benchmarks.cluster import Run, Shared
from benchmarks.spent import groups
from pipeline.base.errors import UserError

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def ran(*places: str) -> list[tuple[str, str]]:
    """A stage each, and the plan."""
    return [("one", "plan"), *((place, f"stage {number}") for number, place in enumerate(places))]


def test_what_a_stage_takes_more_is_of_all_that_is_around_it() -> None:
    alone = {
        "dvc repro": Run(stages=20, around=4, wall=30, ran=ran("x", "x")),
        "other": Run(stages=22, around=2, wall=20, ran=ran("x", "x")),
    }
    run = Run(stages=23, around=10, wall=40, ran=ran("one", "two"))
    shared = Shared(run, driver=4, ray=8, idle=6, server=1)
    nothing = Shared(Run(stages=1, around=5, wall=9, ran=ran()), driver=3, ray=0, idle=0, server=0)
    around, *whole, last = cluster.figures("S3", shared, nothing, alone)
    assert (last.value, last.goal) == (5, None) and last.note.startswith("3.0 of the driver")
    assert (around.value, around.goal) == (3.0, 1.5)
    assert around.note.startswith("2 stages; 2.00 a stage of the driver, 3.00 of Ray's")
    assert [each.value for each in whole] == [4.5, 4.5] and [each.goal for each in whole] == [1.5, None]
    other = Run(stages=0, around=0, wall=0, ran=ran("one"))
    with pytest.raises(AssertionError, match="other stages ran"):
        cluster.figures("S3", Shared(other, driver=0, ray=0, idle=0, server=0), nothing, alone)


def test_files_that_differ_are_counted_and_both_hosts_must_have_run_something() -> None:
    run = Run(stages=0, around=0, wall=0, ran=ran("one", "two", "two"))
    found = cluster.bytes_alike("folder", run, {"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "0"})
    assert found.value == 2 and found.met is False and "such as b, c; 1 stages ran on the driver" in found.note
    with pytest.raises(AssertionError, match="stages ran on one alone"):
        cluster.bytes_alike("folder", Run(stages=0, around=0, wall=0, ran=ran("one")), {}, {})


def test_a_machine_that_cannot_have_hosts_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match=r"^two hosts on one machine need what lacks here: root, who alone may make"):
        cluster.measure(tmp_path, tiny=True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(namespaces, "PROGRAMS", ("no-such-program",))
    assert namespaces.lacking() == "the program no-such-program"


def test_seconds_are_of_all_processes_and_none_is_left() -> None:
    try:
        with groups("test") as found:
            group = found["test"]
            # One that nobody waits for, and one that goes on.
            command = group.within("sh", "-c", '"$0" -c "$1" & exec sleep 60', sys.executable, BUSY)
            process = subprocess.Popen(command)
            end = time.monotonic() + 60
            while len(group.processes) != 1 or group.seconds < 0.3:
                assert time.monotonic() < end, group.processes
                time.sleep(0.05)
            assert group.seconds < 3
    except UserError as error:
        pytest.skip(str(error))
    assert process.wait(10) < 0 and not group.folder.exists()


@pytest.mark.long
def test_two_hosts_do_what_one_machine_does(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    try:
        CliRunner().invoke(app, ["cluster", "--tiny", "--out", str(out)], catch_exceptions=False)
    except UserError as error:
        pytest.skip(str(error))
    values = {each["name"]: each["value"] for each in json.loads(out.read_text())["figures"]}
    assert len(values) == 10
    for name in cluster.GOALS:
        assert values[f"{name}: files that differ from those of one machine"] == 0
        assert values[f"{name}: around a stage, over `dvc repro`"] > 0
    assert not list(Path("/run/netns").glob(f"cohobate-{os.getpid()}-*"))
