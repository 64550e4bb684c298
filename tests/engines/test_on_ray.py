"""Ray itself: a cluster of three nodes on this machine, two of them with a cache of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.small_graph import Graph, contents, create
from tests.scratch import RAN

pytest.importorskip("ray", reason="the extra `ray` is not installed")

from pipeline.base.errors import UserError
from pipeline.dvc import experiments
from pipeline.engines import on_ray

FIVE = ("prepare", "first", "second", "third", "last")
REPRO = (sys.executable, "-m", "pipeline", "repro", "--on", "ray")
MEMORY = 80 * 2**20  # bytes of each node's object store
# The first node is the driver's, and has nothing to give.
CLUSTER = f"""
import json, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={{
    "num_cpus": 0, "object_store_memory": {MEMORY}, "include_dashboard": False}})
for home in sys.argv[1:]:
    cluster.add_node(num_cpus=1, object_store_memory={MEMORY}, env_vars={{"COHOBATE_MACHINE": home}})
print(json.dumps(cluster.address), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    """The graph beside a cluster, whose token this machine has."""
    found = create(tmp_path, monkeypatch)
    for name, value in {"RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "RAY_USAGE_STATS_ENABLED": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    homes = [str(tmp_path / name) for name in "ab"]
    pipe = subprocess.PIPE
    cluster = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, *homes], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert cluster.stdout
        address = next(line for line in cluster.stdout if line.startswith('"'))
        monkeypatch.setenv("RAY_ADDRESS", json.loads(address))
        monkeypatch.delenv("RAY_AUTH_MODE")
        yield found
    finally:
        cluster.communicate("", timeout=60)


def test_three_nodes_do_what_one_machine_would(graph: Graph) -> None:
    said = graph.scratch.run(*REPRO, "last")
    assert sorted(graph.names) == sorted(FIVE), said
    where = dict(graph.ran)
    assert where["prepare"] == "" and {where["second"], where["third"]} == {"a", "b"}
    assert "nothing to do: all 5 stages are up to date" in graph.scratch.run(*REPRO, "last")
    graph.give("third", 2)
    graph.scratch.run(*REPRO, "last")
    assert sorted(graph.names[5:]) == ["last", "third"]

    graph.scratch.run("dvc", "pull", *FIVE)
    found = contents(graph.folder, FIVE)
    graph.scratch.run("rm", "-r", ".dvc/cache", "dvc.lock", *FIVE)
    assert sorted(RAN.findall(graph.scratch.run("dvc", "repro", "last"))) == sorted(("plan", *FIVE))
    expected = {**contents(graph.folder, FIVE), "second/all": found["second/all"].replace('"cpu"', '"auto"')}
    assert {**found, "second/all": ""} == {**expected, "second/all": ""}


@pytest.mark.long
def test_experiments_of_the_queue_run_there(graph: Graph) -> None:
    for name, value in {"two": 2, "three": 3}.items():
        graph.give("third", value)
        graph.scratch.run("dvc", "exp", "run", "--queue", "--name", name, "last")
    said = graph.scratch.run(sys.executable, "-m", "pipeline", "queue", "--on", "ray")
    assert "2 of 2 experiments were due, and ran in " in said
    assert sorted(graph.names) == sorted([*FIVE, "third", "last"]), said
    assert {machine for name, machine in graph.ran if name != "prepare"} == {"a", "b"}
    known = {each.name: each.state for each in experiments.read()}
    assert (known["two"], known["three"]) == (None, None)
    assert "nothing waits in DVC's queue" in graph.scratch.run(sys.executable, "-m", "pipeline", "queue", "--on", "ray")


def test_a_cluster_that_is_not_for_us_is_one_sentence() -> None:
    log = "gcs_client.cc:210: Failed to get cluster ID: InvalidAuthToken: Authentication token is missing"
    assert on_ray._refusal(RuntimeError("x"), log).startswith("the Ray cluster asks for a token, and this machine has")
    refused = on_ray._refusal(ConnectionError("Traceback:\n  x\nCould not find any running Ray instance.\n"), "")
    assert refused.startswith(
        "no Ray cluster can be used from here (Could not find any running Ray instance): `ray start`"
    )


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_named_at_once(address: str) -> None:
    with pytest.raises(UserError, match=f"^nobody answers at RAY_ADDRESS, which is {address} "):
        on_ray._check(address)
    on_ray._check("auto")


def test_images_within_the_repository_are_not_sent_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "/photos/mine" in on_ray._environment(tmp_path / "photos" / "mine")["excludes"]
    assert on_ray._environment(tmp_path.parent)["excludes"] == on_ray._environment(tmp_path)["excludes"]
