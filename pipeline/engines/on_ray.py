"""Machines of a Ray cluster: the one file that knows of Ray, which comes with the extra `ray`."""

import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Ray reads these when it is imported. Without the second its own log stands between the stages' lines.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from ray.exceptions import AuthenticationError, RayError, TaskCancelledError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.base.errors import UserError
from pipeline.base.paths import CODE
from pipeline.engines import hosts
from pipeline.engines.hosts import Host
from pipeline.engines.machines import Ended, Errand, Offer
from pipeline.engines.template import Template

if TYPE_CHECKING:
    from pipeline.config.resources import Request

# What is no code; files that git ignores are left out by Ray itself.
EXCLUDED = (
    *("/.git", "/.dvc/config.local", "/.dvc/cache", "/.dvc/tmp", "/.dvc/training-state", "/dvc.lock"),
    *("/artifacts", "/curves", "/metrics", "/plan", "/report.html", "/tests", "/docs", "/benchmarks"),
    *("*.safetensors", "*.pth", "*.pt", "*.pt2", "*.onnx", "*.npz", "*.npy", "*.parquet", "*.tar", "*.zip"),
)
RETRIES = 5  # where the machine is lost; what a stage itself cannot do is not tried again
AGAIN = 1.0  # seconds between two questions for what machines there are
ANSWER = 300.0  # seconds for all machines to say what they are
CONNECTING = 10.0  # seconds
GIB = 2**30


@contextmanager
def connected(images: Path) -> Iterator["RayMachines"]:
    """Yield the machines of the cluster that `$RAY_ADDRESS` names, else of that which this machine is in.

    images: The folder of images, which is not sent along.

    Raises:
        UserError: There is none, or it is not for us.
    """
    _check(os.environ.get("RAY_ADDRESS", ""))
    with tempfile.TemporaryFile() as log:
        try:
            with _errors_to(log.fileno()):
                ray.init(
                    address="auto", log_to_driver=False, logging_level=logging.ERROR, runtime_env=_environment(images)
                )
        except (ConnectionError, RayError, RuntimeError, ValueError, TimeoutError) as error:
            log.seek(0)
            raise UserError(_refusal(error, log.read().decode(errors="replace"))) from None
    try:
        yield RayMachines()
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Refuse an address at which nobody answers: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if address in ("", "auto", "local"):
        return
    try:
        socket.create_connection((host, int(port)), CONNECTING).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"nobody answers at RAY_ADDRESS, which is {address} ({error}): give the address that `ray start --head` "
            "prints, as host:port"
        ) from None


@contextmanager
def _errors_to(descriptor: int) -> Iterator[None]:
    """Let what Ray's own C++ prints on standard error go elsewhere: a line for each of its tries."""
    before = os.dup(2)
    try:
        os.dup2(descriptor, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _refusal(error: Exception, log: str) -> str:
    """The sentence for a cluster that cannot be used."""
    if isinstance(error, AuthenticationError) or "AuthToken" in log:
        return (
            "the Ray cluster asks for a token, and this machine has none, or another: `ray get-auth-token --generate` "
            "makes one, which must lie in ~/.ray/auth_token on each machine (RAY_AUTH_MODE=disabled does without)"
        )
    return (
        f"no Ray cluster can be used from here ({_sentence(error)}): `ray start` begins one, or joins one, and "
        "RAY_ADDRESS names one"
    )


def _environment(images: Path) -> dict[str, Any]:
    here = Path.cwd()
    excluded = [
        *EXCLUDED,
        *([f"/{images.relative_to(here)}"] if images != here and images.is_relative_to(here) else []),
    ]
    found: dict[str, Any] = {
        "working_dir": str(here),
        "excludes": excluded,
        # Else Ray kills what a worker has begun at once where the driver is lost, and a stage could not save its state.
        "env_vars": {"RAY_kill_child_processes_on_worker_exit": "false"},
    }
    if not (here / "pipeline").is_dir():  # the code is that of an installed release
        found["py_modules"] = [str(CODE / name) for name in ("pipeline", "stages")]
    return found


class RayMachines:
    """The machines of the cluster that we are connected with."""

    def __init__(self) -> None:
        self._offers: list[Offer] = []
        self._asked = float("-inf")

    def hosts(self) -> list[Host]:
        """What each machine is that has CPUs to give.

        Raises:
            UserError: One does not answer, or cannot run stages.
        """
        nodes = [each["NodeID"] for each in self._alive()]
        if not nodes:
            raise UserError("no machine of the Ray cluster has CPUs to give: `ray start --address=…` on one joins it")
        task: Any = ray.remote(hosts.this)
        there = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
        asked = [task.options(num_cpus=0, max_retries=2, scheduling_strategy=strategy).remote() for strategy in there]
        try:
            return ray.get(asked, timeout=ANSWER)
        except RayError as error:
            raise UserError(
                f"a machine of the Ray cluster cannot run our code ({_sentence(error)}): correct that"
            ) from None

    def offers(self) -> list[Offer]:
        """The machines that have CPUs to give."""
        if time.monotonic() - self._asked >= AGAIN:
            self._asked = time.monotonic()
            self._offers = [
                Offer(
                    cpus=each["Resources"].get("CPU", 0),
                    gpus=each["Resources"].get("GPU", 0),
                    memory=each["Resources"].get("memory", 0) / GIB,
                    labels=each.get("Labels", {}),
                )
                for each in self._alive()
            ]
        return self._offers

    def send(self, errand: Errand, request: "Request") -> "RayTask":
        """As a task of Ray's, which it begins again where the machine is lost."""
        options: dict[str, Any] = {"num_cpus": request.cpus, "num_gpus": request.gpus, "max_retries": RETRIES}
        if request.memory:
            options["memory"] = int(request.memory * GIB)
        if request.label:
            key, _, value = request.label.partition("=")
            options["label_selector"] = {key: value}
        made: Any = ray.remote(_execute)
        return RayTask(made.options(name=errand.stage, **options).remote(errand))

    def _alive(self) -> list[dict[str, Any]]:
        return [each for each in ray.nodes() if each["Alive"] and each["Resources"].get("CPU", 0)]


class RayTask:
    """An errand as a task of Ray's."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def ended(self) -> Ended | None:
        """What became of it; None as long as it runs, or waits."""
        done, _ = ray.wait([self._reference], timeout=0)
        if not done:
            return None
        try:
            return ray.get(self._reference)
        except TaskCancelledError:
            return Ended(-signal.SIGTERM, "", None, "")
        except RayError as error:
            return Ended(1, f"error: Ray gave it up ({_sentence(error)})", None, "")

    def stop(self) -> None:
        """Tell the worker by SIGINT, which is how Ray asks a task to end; one that has not begun never will."""
        ray.cancel(self._reference, force=False)


@cache
def _template() -> Template:
    """That of this process of Ray's, which does one errand after another, in a folder with the code."""
    return Template(Path.cwd())


def _execute(errand: Errand) -> Ended:
    asked: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    return _template().execute(errand, lambda: bool(asked))


def _sentence(error: BaseException) -> str:
    """The line of Ray's many that tells most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1].rstrip(".")
