"""A remote that is no folder: S3, as moto answers it on this machine."""

import importlib.util
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from socket import create_server

import pytest

from tests.commands.test_repro_on import DRIVE, FIVE
from tests.engines.small_graph import Graph, contents, create
from tests.scratch import COMMIT, Scratch, wait

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec("moto") and importlib.util.find_spec("dvc_s3")),
    reason="moto[server] and dvc-s3 are not installed",
)
BUCKET = "bucket"


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graph]:
    """The graph, whose remote is in a bucket; secrets are in the environment."""
    found = create(tmp_path, monkeypatch)
    with closing(create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait("the server to answer", lambda: _answers(f"{address}/{BUCKET}"))
        (found.folder / ".dvc/config").write_text(
            "[core]\n    analytics = false\n    check_update = false\n    remote = common\n"
            f"['remote \"common\"']\n    url = s3://{BUCKET}/project\n    endpointurl = {address}\n"
        )
        found.scratch.run(*COMMIT)
        yield found
    finally:
        server.kill()
        server.wait()


def _answers(bucket: str) -> bool:
    """Whether the bucket is made."""
    with suppress(OSError):
        return urllib.request.urlopen(urllib.request.Request(bucket, method="PUT"), timeout=5).status == 200
    return False


@pytest.mark.long
def test_machines_that_share_a_bucket_do_what_one_would_and_so_does_a_fresh_clone(graph: Graph) -> None:
    graph.scratch.run(*DRIVE, "last")
    assert sorted(graph.names) == sorted(FIVE)
    assert "nothing to do: all 5 stages are up to date" in graph.scratch.run(*DRIVE, "last")
    graph.give("third", 2)
    graph.scratch.run(*DRIVE, "last")
    assert sorted(graph.names[5:]) == ["last", "third"]
    graph.scratch.run("git", "add", ".")
    graph.scratch.run(*COMMIT)

    clone = Scratch(graph.top / "clone")
    graph.scratch.run("git", "clone", "--quiet", ".", str(clone.folder))
    clone.run("dvc", "pull", *FIVE)
    assert clone.repro("last") == ["plan"], "DVC agrees that nothing is to be done"
    found = contents(clone.folder, FIVE)
    clone.run("rm", "-r", ".dvc/cache", "dvc.lock", *FIVE)
    assert sorted(clone.repro("last")) == sorted(("plan", *FIVE))
    assert {**contents(clone.folder, FIVE), "second/all": ""} == {**found, "second/all": ""}


@pytest.mark.long
def test_a_bucket_that_is_gone_is_one_sentence(graph: Graph) -> None:
    config = graph.folder / ".dvc/config"
    config.write_text(config.read_text().replace(f"s3://{BUCKET}", "s3://elsewhere"))
    said = graph.scratch.run(*DRIVE, "last", code=1)
    assert "error: plan failed: the remote elsewhere/project cannot be used from here (NoSuchBucket: " in said
    assert "Traceback" not in said
