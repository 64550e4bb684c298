"""The default graph on two hosts that share a DVC remote, a folder or S3, against the same graph on one machine.

The hosts are network namespaces of this machine, each with a hostname, a home, a token file and a cache of its own, and
one CPU for stages; the driver is on the first. S3 is moto's, at an address that both reach. Stages are told from what
is around them by the program `python` by which dvc.yaml starts them: what a stage itself computes varies with what
shares the core, so what is around it is compared apart.
"""

import importlib.util
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from benchmarks.measure import Figure
from benchmarks.namespaces import Place, joined, lacking
from benchmarks.spent import Group, groups
from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.console.progress import log
from pipeline.engines.workspace import VARIABLE
from tests.faults import compare
from tests.faults.compare import difference
from tests.scratch import COMMIT, CONFIG, RAN, ROOT, Scratch, create

PLAN = "plan"  # the stage that runs each time
TIMED = "metrics/summary.json"  # in which seconds stand
HOSTS = ("one", "two")
FEW = ("prepare", "teacher", "assistant@t1", "direct")  # of the tiny run: the last two may run side by side
GOALS = {"folder": 0.4, "S3": 1.5}  # CPU seconds a stage over `dvc repro`, by remote
ALONE = {
    "dvc repro": ("dvc", "repro"),
    "pipeline repro --jobs 2": (sys.executable, "-m", "pipeline", "repro", "--jobs", "2"),
}
TOGETHER = (sys.executable, "-m", "pipeline", "repro", "--on", "ray")
BUCKET = "bucket"
PORTS = {"ray": 6379, "S3": 5000}
STORE = 80 * 2**20  # bytes of each host's object store, which must hold the packed code alone
SOCKETS = 33  # letters of the folder below which Ray's sockets, whose paths are of at most 107, have room
TRIES = 5  # Ray gives up a machine that is so busy that it has not begun within 30 s
PATIENCE = 300.0  # seconds for Ray or the server to begin
IDLE = 15.0  # seconds in which Ray's own processes are watched before anything is asked of them
SECRETS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
BEHIND = '"$@" > /dev/null 2>&1 &'  # it goes on, and ends with its group
MAKE = f"""
import sys, time, urllib.request
while True:
    try:
        urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/{BUCKET}", method="PUT"), timeout=5)
        break
    except OSError:
        time.sleep(0.1)
"""


@dataclass(frozen=True)
class Run:
    """What one run of the graph took: CPU seconds of its stages and of all around them, and seconds on the wall.

    ran: Each stage's command that ran, with the name of its machine.
    """

    stages: float
    around: float
    wall: float
    ran: list[tuple[str, str]]

    @property
    def verbs(self) -> Counter[str]:
        return Counter(verb for _, verb in self.ran if verb != PLAN)


@dataclass(frozen=True)
class Shared:
    """What a run on the hosts took, in CPU seconds.

    Attributes:
        run: The run; around stages are the driver, Ray's workers and what these begin.
        driver: Of that, the driver and what it begins.
        ray: Processes of Ray's that run without a driver, too, as long as the run took.
        idle: What they would have taken in that time if nothing had been asked of them.
        server: The server of the remote, if it has one.
    """

    run: Run
    driver: float
    ray: float
    idle: float
    server: float


@dataclass(frozen=True)
class Bench:
    """Where runs are counted.

    Attributes:
        folder: Of all that they leave.
        groups: Those that processes are in.
        targets: Stages to run; none is all.
        token: That of the cluster.
    """

    folder: Path
    groups: dict[str, Group]
    targets: tuple[str, ...]
    token: str

    @property
    def journal(self) -> Path:
        return self.folder / "ran"

    def environment(self, scratch: Scratch) -> dict[str, str]:
        """That of commands and hosts: no way out, no code but the repository's, and our `python` first."""
        own = {
            key: value
            for key, value in scratch.environment.items()
            if not key.lower().endswith("_proxy") and not key.startswith(("RAY_", "AWS_")) and key != "PYTHONPATH"
        }
        return {**own, "PATH": f"{self.folder / 'bin'}{os.pathsep}{own['PATH']}"}

    def repository(self, name: str, remote: str) -> Scratch:
        """The graph in a new repository, in which nothing has run."""
        scratch = create(self.folder / name)
        if not self.targets:
            shutil.copy2(ROOT / "params.yaml", scratch.folder / "params.yaml")
        # On a cluster no stage computes on a GPU unless it asks for one.
        scratch.edit({"machine": {"device": "cpu", "threads": 1}})
        (scratch.folder / ".dvc/config").write_text(CONFIG + remote)
        scratch.run(*COMMIT, "--allow-empty")
        return scratch

    def counted(self, command: tuple[str, ...], where: Path, environment: dict[str, str], around: list[Group]) -> Run:
        """Run it in the first of these groups, in all of which what is around stages is counted."""
        self.journal.write_text("")
        before, inside = [each.seconds for each in around], self.groups["stages"].seconds
        began = time.monotonic()
        finish(around[0].within(*command, *self.targets), where, environment)
        wall = time.monotonic() - began
        spent = sum(each.seconds for each in around) - sum(before)
        lines = [line.partition(" -m stages ") for line in self.journal.read_text().splitlines()]
        return Run(self.groups["stages"].seconds - inside, spent, wall, [(host, verb) for host, _, verb in lines])


def measure(folder: Path, tiny: bool) -> list[Figure]:
    """Run the graph on one machine in each way, then on two hosts with each remote, all from nothing."""
    _check(folder)
    whole: list[Figure] = []
    with groups("stages", "alone", "driver", "hosts", "server") as counted:
        bench = Bench(folder, counted, FEW if tiny else (), secrets.token_hex(32))
        _python(bench)
        alone, expected = {}, {}
        for name, command in ALONE.items():
            scratch = bench.repository(name.replace(" ", "-"), "")
            run = bench.counted(command, scratch.folder, bench.environment(scratch), [counted["alone"]])
            alone[name], expected[name] = run, results(scratch.folder)
            log(f"{name}: {len(run.ran)} stages, {run.around:.1f} CPU s around them, {run.wall:.0f} s on the wall")
        first, second = expected.values()
        assert first == second, f"one machine leaves two kinds of bytes: {difference(first, second)}"
        for name in GOALS:
            shared, nothing, left = _together(bench, name, IDLE / 5 if tiny else IDLE)
            found = [*figures(name, shared, nothing, alone), bytes_alike(name, shared.run, first, left)]
            for figure in found:
                log(f"{figure.name}: {figure.value:.3g}{figure.unit} ({figure.note})")
            whole += found
    return whole


def _together(bench: Bench, name: str, idle: float) -> tuple[Shared, Shared, dict[str, str]]:
    """Run on two hosts with a remote of that kind, twice; what each took, and what `dvc pull` brings of it."""
    with joined(*HOSTS) as (switch, hosts):
        try:
            remote = _remote(bench, name, switch)
            scratch = bench.repository(name, f"    remote = common\n['remote \"common\"']\n{remote}")
            there = {**_ray(bench, scratch, hosts), "RAY_ADDRESS": f"{hosts[0].address}:{PORTS['ray']}"}
            time.sleep(idle)
            started = _own(bench.groups["hosts"].processes)  # Ray begins workers for a driver only
            time.sleep(idle)
            rate = _more(started, _own(started)) / idle
            driver = hosts[0].within(*TOGETHER)
            whole, nothing = (_shared(bench, driver, scratch.folder, there, started, rate) for _ in range(2))
            assert not nothing.run.verbs, f"{', '.join(nothing.run.verbs)} ran again"

            def command(*words: str) -> str:
                return finish(bench.groups["driver"].within(*hosts[0].within(*words)), scratch.folder, there)

            command("dvc", "pull", *bench.targets)
            again = RAN.findall(command("dvc", "repro", *bench.targets))
            assert again == [PLAN], f"`dvc repro` runs {', '.join(again)} again"
        finally:
            for key in ("driver", "stages", "hosts", "server"):
                bench.groups[key].end()
    return whole, nothing, results(scratch.folder)


def _shared(
    bench: Bench, command: tuple[str, ...], where: Path, environment: dict[str, str], ray: Iterable[int], rate: float
) -> Shared:
    """Give the command on a host; `ray`: Ray's processes that run without a driver, and their seconds a second."""
    before, own = {key: group.seconds for key, group in bench.groups.items()}, _own(ray)
    run = bench.counted(command, where, environment, [bench.groups["driver"], bench.groups["hosts"]])
    spent = {key: group.seconds - before[key] for key, group in bench.groups.items()}
    more = _more(own, _own(own))
    run = replace(run, around=run.around - more)
    return Shared(run, spent["driver"], ray=more, idle=rate * run.wall, server=spent["server"])


def figures(name: str, shared: Shared, nothing: Shared, alone: dict[str, Run]) -> list[Figure]:
    """What a stage takes more on the hosts than on one machine, and what the command takes when nothing is due."""
    base, run = alone["dvc repro"], shared.run
    assert run.verbs == base.verbs, f"other stages ran: {run.verbs - base.verbs}, and not {base.verbs - run.verbs}"
    count = base.verbs.total()
    machines = run.around - shared.driver
    found = [
        Figure(
            f"{name}: around a stage, over `dvc repro`",
            (run.around - base.around) / count,
            goal=GOALS[name],
            unit=" CPU s",
            note=f"{count} stages; {shared.driver / count:.2f} a stage of the driver, {machines / count:.2f} of Ray's "
            f"workers and what they begin, less {base.around / count:.2f} of `dvc repro`; not in it: Ray's own "
            f"processes, {shared.ray:.0f} in all, of which {shared.idle:.0f} as when idle"
            + (f", and moto, {shared.server:.0f}" if shared.server else ""),
        )
    ]
    for other, each in alone.items():
        found.append(
            Figure(
                f"{name}: all of a stage, over `{other}`",
                (run.around + run.stages - each.around - each.stages) / count,
                goal=GOALS[name] if each is base else None,
                unit=" CPU s",
                note=f"the stages themselves, all of them: {run.stages:.0f}, and {each.stages:.0f} on one machine; on "
                f"the wall {run.wall:.0f} s and {each.wall:.0f} s",
            )
        )
    note = f"{nothing.driver:.1f} of the driver; the rest is Ray's workers that say what their machines are"
    found.append(Figure(f"{name}: nothing to do, all of it", nothing.run.around, unit=" CPU s", note=note))
    return found


def bytes_alike(name: str, run: Run, expected: dict[str, str], found: dict[str, str]) -> Figure:
    """How many result files are not those of one machine."""
    where = Counter(host for host, verb in run.ran if verb != PLAN)
    assert where.keys() == {*HOSTS}, f"stages ran on {', '.join(where)} alone"
    differing = sum(expected.get(path) != found.get(path) for path in expected.keys() | found.keys())
    listed = f", such as {difference(expected, found)}" if differing else ""
    return Figure(
        f"{name}: files that differ from those of one machine",
        float(differing),
        goal=0,
        note=f"of {len(expected)}, without what a clock says{listed}; {where['one']} stages ran on the driver's host, "
        f"{where['two']} on the other; after `dvc pull`, `dvc repro` had nothing to do",
    )


def results(folder: Path) -> dict[str, str]:
    """SHA-256 by path of what a run leaves, without what a clock says."""
    return {path: each for path, each in compare.results(folder).items() if path != TIMED}


def _check(folder: Path) -> None:
    """Refuse a machine on which there can be no hosts."""
    needed = ("ray", "moto", "dvc_s3")
    absent = [f"the package {name}" for name in needed if importlib.util.find_spec(name) is None]
    if lacks := ", ".join(filter(None, (lacking(), *absent))):
        raise UserError(f"two hosts on one machine need what lacks here: {lacks}")
    if len(str(folder)) > SOCKETS:
        raise UserError(f"Ray's sockets have no room below {folder}: let TMPDIR name a shorter path")


def _python(bench: Bench) -> None:
    """The program by which stages start: it counts them apart, and writes which ran where."""
    path = bench.folder / "bin" / "python"
    path.parent.mkdir()
    path.write_text(
        f"#!/bin/sh\n{bench.groups['stages'].join}\nread -r host < /proc/sys/kernel/hostname\n"
        f'echo "$host $*" >> {shlex.quote(str(bench.journal))}\nexec {shlex.quote(sys.executable)} "$@"\n'
    )
    path.chmod(0o755)


def _remote(bench: Bench, name: str, switch: Place) -> str:
    """Begin a remote; what .dvc/config says of it."""
    if name == "folder":
        (bench.folder / "remote").mkdir()
        return f"    url = {bench.folder / 'remote'}\n"
    address = f"http://{switch.address}:{PORTS['S3']}"
    server = (sys.executable, "-m", "moto.server", "-H", switch.address, "-p", str(PORTS["S3"]))
    group = bench.groups["server"]
    finish(group.within(*switch.within("sh", "-c", BEHIND, "sh", *server)), bench.folder, dict(os.environ), PATIENCE)
    finish(group.within(*switch.within(sys.executable, "-c", MAKE, address)), bench.folder, dict(os.environ), PATIENCE)
    return f"    url = s3://{BUCKET}/project\n    endpointurl = {address}\n"


def _ray(bench: Bench, scratch: Scratch, hosts: list[Place]) -> dict[str, str]:
    """Join the hosts in a cluster; what is in the environment of the first."""
    environments = [_home(bench, scratch, host) for host in hosts]
    for tries in range(TRIES - 1, -1, -1):
        try:
            _start(bench, hosts, environments)
            break
        except AssertionError:
            if not tries:
                raise
            bench.groups["hosts"].end()
    return environments[0]


def _home(bench: Bench, scratch: Scratch, host: Place) -> dict[str, str]:
    """Make a host a home; what is in its environment."""
    home = bench.folder / scratch.folder.name[0].lower() / host.name
    files.write_text(home / ".ray/auth_token", bench.token)
    (home / ".ray/auth_token").chmod(0o600)
    return {
        **bench.environment(scratch),
        **SECRETS,
        "HOME": str(home),
        VARIABLE: str(home / "machine"),
        "RAY_AUTH_MODE": "token",
        "RAY_TMPDIR": str(home / "ray"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def _start(bench: Bench, hosts: list[Place], environments: list[dict[str, str]]) -> None:
    """Begin Ray on each, as docs/cluster.md says; all others join the first."""
    roles = [("--head", f"--port={PORTS['ray']}", "--include-dashboard=false")]
    roles += [(f"--address={hosts[0].address}:{PORTS['ray']}",)] * (len(hosts) - 1)
    given = ("--num-cpus=1", f"--object-store-memory={STORE}", "--disable-usage-stats")
    for host, role, environment in zip(hosts, roles, environments, strict=True):
        own = (f"--node-ip-address={host.address}", f"--temp-dir={environment['RAY_TMPDIR']}")
        start = host.within("ray", "start", *role, *own, *given)
        finish(bench.groups["hosts"].within(*start), bench.folder, environment, PATIENCE)


def _own(processes: Iterable[int]) -> dict[int, float]:
    """CPU seconds of those of these processes that run still, without what they have begun."""
    found = {}
    for number in processes:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(number).cpu_times()
            found[number] = times.user + times.system
    return found


def _more(before: dict[int, float], now: dict[int, float]) -> float:
    return sum(now[number] - before[number] for number in now)


def finish(command: tuple[str, ...], where: Path, environment: dict[str, str], limit: float | None = None) -> str:
    """Run a command to its end; what it printed. It may leave processes behind."""
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            cwd=where,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=limit,
            check=False,
        )
        output.seek(0)
        said = output.read().decode(errors="replace")
    assert done.returncode == 0, f"{' '.join(command)} exited with {done.returncode}:\n{said[-2000:]}"
    return said
