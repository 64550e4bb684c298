"""What `dvc repro` would do with each stage, and why; found without running or writing anything.

A stage is due where something that it reads, or its command, is not what it was, or something that it left is gone.
Where DVC's cache holds just that run, its outputs are brought back; else the stage runs. What it will leave then is not
known: it may be what was there before, so that those who read it may have nothing to do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.dvc.looking import StageInput, StageLook
from pipeline.dvc.run_cache import RunCache

Verdict = Literal["runs", "may run", "cached"]
Reason = Literal["always", "new", "command", "input", "no input", "new input", "rewritten", "output"]


@dataclass(frozen=True)
class Cause:
    """Why a stage is due, or may be.

    Attributes:
        path: Of the input or the output that it is about.
        detail: The stages that rewrite the input, or what is wrong with the output.
    """

    reason: Reason
    path: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Forecast:
    """What becomes of a stage.

    Attributes:
        verdict: It surely runs, it runs if what it reads comes out otherwise, or DVC has its result.
        causes: Of a cached stage, why its outputs are brought back from DVC's cache; none where they stay.
        outputs: The hash of each output by its path, where it is known.
    """

    stage: StageLook
    verdict: Verdict
    causes: tuple[Cause, ...]
    outputs: Mapping[str, str]


def forecasts(stages: Iterable[StageLook], planned: Mapping[str, str], runs: RunCache) -> list[Forecast]:
    """What becomes of each stage.

    Args:
        stages: Each after those that it needs.
        planned: The hash of each file that `plan` will have written.
        runs: What DVC keeps of earlier runs.
    """
    outlook = _Outlook(planned, runs)
    return [outlook.take(stage) for stage in stages]


class _Outlook:
    """What is known of the files that will be there, stage after stage.

    Attributes:
        will: The hash that each output will have; None where that is not known.
        stays: The stages whose outputs nothing touches.
    """

    def __init__(self, planned: Mapping[str, str], runs: RunCache) -> None:
        self.planned = planned
        self.runs = runs
        self.will: dict[str, str | None] = {}
        self.stays: set[str] = set()

    def take(self, stage: StageLook) -> Forecast:
        inputs = {each.path: self._expected(each) for each in stage.inputs}
        due = [*self._due(stage, inputs)]
        unsure = [
            Cause("rewritten", each.path, ", ".join(each.makers))
            for each in stage.inputs
            if each.makers and inputs[each.path] is None
        ]
        verdict, outputs = self._decide(stage, inputs, bool(due), bool(unsure))
        self.will |= {each.path: outputs.get(each.path) for each in stage.outputs}
        if verdict == "cached" and not due:
            self.stays.add(stage.name)
        return Forecast(stage, verdict, tuple(due or unsure), outputs)

    def _expected(self, each: StageInput) -> str | None:
        if each.path in self.planned:
            return self.planned[each.path]
        if each.is_output:
            return self.will.get(each.path)
        return each.now if self.stays.issuperset(each.makers) else None

    def _due(self, stage: StageLook, inputs: Mapping[str, str | None]) -> Iterable[Cause]:
        if stage.idle:
            return
        if stage.always or not stage.has_run:
            yield Cause("always" if stage.always else "new")
            return
        if stage.command_changed:
            yield Cause("command")
        for each in stage.inputs:
            found = inputs[each.path]
            if found is None and not each.makers:
                yield Cause("no input", each.path)
            elif each.recorded is None:
                yield Cause("new input", each.path)
            elif found not in (None, each.recorded):
                yield Cause("input", each.path)
        for output in stage.outputs:
            if output.fault:
                yield Cause("output", output.path, output.fault)

    def _decide(
        self, stage: StageLook, inputs: Mapping[str, str | None], due: bool, unsure: bool
    ) -> tuple[Verdict, dict[str, str]]:
        """The verdict, and the hash of each output as far as it is known."""
        recorded = {each.path: each.recorded for each in stage.outputs}
        known = {path: md5 for path, md5 in recorded.items() if md5}
        if stage.always:
            return "runs", {}
        if stage.idle or not (due or unsure):
            return "cached", known
        if not stage.reads_files:
            return "may run", {}
        if unsure:
            return ("may run" if not due or self._may_come_back(stage, inputs) else "runs"), {}
        whole = self._brought_back(stage, {path: md5 for path, md5 in inputs.items() if md5})
        return ("runs", {}) if whole is None else ("cached", whole)

    def _brought_back(self, stage: StageLook, inputs: Mapping[str, str]) -> dict[str, str] | None:
        """The outputs that DVC takes from its cache in place of running the stage; None where it runs."""
        if len(inputs) < len(stage.inputs):
            return None
        if not stage.command_changed and all(inputs[each.path] == each.recorded for each in stage.inputs):
            return self.runs.whole({each.path: each.recorded for each in stage.outputs})
        key = stage.key(inputs)
        return self.runs.newest(key) if key else None

    def _may_come_back(self, stage: StageLook, inputs: Mapping[str, str | None]) -> bool:
        """Whether what is not known yet may come out so that DVC has a run of just that."""
        same = not stage.command_changed and all(inputs[each.path] in (None, each.recorded) for each in stage.inputs)
        if same and self.runs.whole({each.path: each.recorded for each in stage.outputs}):
            return True
        return self.runs.any_fits(stage.command, inputs)
