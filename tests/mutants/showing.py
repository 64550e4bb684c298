"""Small faults of what shows results: tables, trees, the report, and the seeds behind them."""

from tests.mutants.mutant import Mutant

STATUS = "tests/commands/test_status.py::test_progress_is_that_of_the_newest_training_that_is_not_over"
STANDING = "tests/commands/test_status.py::test_a_node_is_told_by_its_own_figure_and_a_slot_by_that_of_what_it_carries"
TREE = "tests/commands/test_tree.py::test_a_network_hangs_on_its_first_teacher_and_what_is_computed_on_its_last_member"
COMMANDS = "tests/test_commands.py::test_what_a_person_can_mend_is_one_sentence"
PRESETS = "tests/config/test_presets.py::test_all_decide_the_same_keys_so_that_none_leaves_a_trace"
HOSTILE = "tests/test_hostile_names.py"
TEXT = "tests/console/test_text.py"
NUMBERS = "tests/report/test_numbers.py"
SCHEDULE = "tests/engines/test_schedule.py"

MUTANTS = [
    Mutant(
        "pipeline/commands/compare.py",
        "paired([values[seed] for seed in common], [base[seed] for seed in common])",
        "paired([base[seed] for seed in common], [values[seed] for seed in common])",
        "tests/commands/test_compare.py",
    ),
    Mutant(
        "pipeline/commands/compare.py",
        "common = [seed for seed in values if seed in base]",
        "common = [*values]",
        "tests/commands/test_compare.py",
    ),
    Mutant(
        "pipeline/commands/compare.py",
        'numbers[split]["accuracy"]',
        'numbers["test"]["accuracy"]',
        "tests/commands/test_compare.py",
    ),
    Mutant(
        "pipeline/commands/compare.py",
        "by_seed.get(seed_of(each), first.members[0])",
        "first.members[0]",
        "tests/commands/test_compare.py",
    ),
    Mutant("pipeline/commands/seeds.py", "{first[name] + number}", "{number}", "tests/commands/test_seeds.py"),
    Mutant(
        "pipeline/commands/seeds.py",
        "files.digest([whole, [*overrides], [*vary]])",
        "files.digest([[*overrides], [*vary]])",
        "tests/commands/test_seeds.py",
    ),
    Mutant(
        "pipeline/commands/seeds.py",
        'for split in ("validation", "test"))\n        pairs',
        'for split in ("test", "test"))\n        pairs',
        "tests/commands/test_seeds.py",
    ),
    Mutant(
        "pipeline/commands/seeds.py",
        "paired([a for a, _ in pairs], [b for _, b in pairs])",
        "paired([b for _, b in pairs], [a for a, _ in pairs])",
        "tests/commands/test_seeds.py",
    ),
    Mutant("pipeline/commands/status.py", "max(found)[1]", "min(found)[1]", STATUS),
    Mutant(
        "pipeline/commands/status.py",
        "self.node.chain).get(self.node.source)",
        "self.node.chain[:1]).get(self.node.chain[0][0])",
        STANDING,
    ),
    Mutant("pipeline/commands/status.py", "['epoch'] + 1} of", "['epoch']} of", STATUS),
    Mutant(
        "pipeline/commands/tree.py",
        '-1 if each.node.status == "computed" else 0',
        '0 if each.node.status == "computed" else -1',
        TREE,
    ),
    Mutant("pipeline/config/presets.py", "            base[key].clear()\n", "            pass\n", PRESETS),
    Mutant(
        "pipeline/lineage/results.py",
        'teacher.metrics["bytes"] / metrics["bytes"]',
        'metrics["bytes"] / teacher.metrics["bytes"]',
        "tests/lineage/test_results.py",
    ),
    Mutant(
        "pipeline/lineage/results.py",
        "sum(each[key] for each in members)",
        "max(each[key] for each in members)",
        "tests/lineage/test_results.py",
    ),
    Mutant(
        "pipeline/lineage/results.py",
        "100 * (test - base):+.1f",
        "100 * (base - test):+.1f",
        "tests/lineage/test_results.py",
    ),
    Mutant(
        "pipeline/lineage/results.py",
        'trained = [row for row in table if row.node.status != "carried" or row.node.name == "mutual"]',
        "trained = table",
        "tests/lineage/test_results.py",
    ),
    Mutant(
        "pipeline/commands/study.py",
        "paired(arm.test, base.test)",
        "paired(arm.validation, base.validation)",
        "tests/commands/test_study.py::test_differences_are_seed_by_seed",
    ),
    Mutant("pipeline/console/text.py", "\\u2028-\\u202e", "\\u2028-\\u202d", TEXT),
    Mutant("pipeline/console/text.py", "if name and name == name.strip() else", "if name else", TEXT),
    Mutant("pipeline/console/text.py", 'visible(cell.replace("\\\\", r"\\\\"))', "visible(cell)", TEXT),
    Mutant("pipeline/console/text.py", "if 0xDC80 <= number <= 0xDCFF:", "if 0xDC80 < number < 0xDCFF:", TEXT),
    Mutant("pipeline/console/text.py", '"`" * (1 + max(', '"`" * (0 + max(', TEXT),
    Mutant(
        "pipeline/console/progress.py", "print(visible(sentence), flush=True)", "print(sentence, flush=True)", HOSTILE
    ),
    Mutant("pipeline/console/terminal.py", "markup=False", "markup=True", HOSTILE),
    Mutant("pipeline/console/errors.py", "    warn(sentence)\n", "    print(sentence, file=sys.stderr)\n", HOSTILE),
    Mutant("pipeline/lineage/results.py", "table.add_row(*map(visible, line))", "table.add_row(*line)", HOSTILE),
    Mutant(
        "pipeline/commands/tree.py",
        "standing = visible(each.name), visible(each.state)",
        "standing = visible(each.name), each.state",
        HOSTILE,
    ),
    Mutant(
        "pipeline/engines/screen.py",
        "names = [visible(each.stage) for",
        "names = [each.stage for",
        "tests/engines/test_screen.py",
    ),
    Mutant("pipeline/report/page.py", "        finalize=shown,\n", "", "tests/console/test_printing.py"),
    Mutant(
        "pipeline/compression/model_card.py",
        "markdown(name) if word(name) == name else code(name)",
        "markdown(name)",
        "tests/compression/test_model_card.py",
    ),
    Mutant("pipeline/console/errors.py", 'f"error: {sentence}", 1)', 'f"error: {sentence}", 0)', COMMANDS),
    Mutant("pipeline/console/errors.py", "STOPPED = 130", "STOPPED = 1", COMMANDS),
    Mutant(
        "pipeline/engines/schedule.py",
        "max(length[needed], length[name] + 1)",
        "max(length[needed], length[name])",
        SCHEDULE,
    ),
    Mutant(
        "pipeline/engines/schedule.py",
        "(outcome.stopped if told else outcome.failed).append(name)",
        "outcome.failed.append(name)",
        SCHEDULE,
    ),
    Mutant(
        "pipeline/engines/schedule.py",
        "if name in changed or found.intersection(needs[name]):",
        "if name in changed:",
        SCHEDULE,
    ),
    Mutant(
        "pipeline/engines/gpus.py",
        "{VISIBLE: gpus[place % len(gpus)]}",
        "{VISIBLE: gpus[0]}",
        "tests/engines/test_gpus.py",
    ),
    Mutant("pipeline/report/calibration.py", 'side="left"', 'side="right"', NUMBERS),
    Mutant(
        "pipeline/report/calibration.py",
        "(self.confidence_M - self.accuracy_M) * self",
        "(self.accuracy_M - self.confidence_M) * self",
        NUMBERS,
    ),
    Mutant(
        "pipeline/report/tradeoff.py",
        "q.accuracy >= p.accuracy and",
        "q.accuracy > p.accuracy and",
        NUMBERS,
    ),
    Mutant("pipeline/report/tradeoff.py", "milliseconds / 1000 if", "milliseconds if", NUMBERS),
    Mutant(
        "pipeline/report/methods.py",
        "int((it_N & ~base_N).sum()), int((base_N & ~it_N).sum())",
        "int((base_N & ~it_N).sum()), int((it_N & ~base_N).sum())",
        NUMBERS,
    ),
    Mutant(
        "pipeline/report/methods.py",
        'if low > 0 else "worse" if high < 0',
        'if high > 0 else "worse" if low < 0',
        NUMBERS,
    ),
    Mutant(
        "pipeline/report/generations.py",
        "for entry in run.networks if entry.family == family and",
        "for entry in run.entries.values() if entry.family == family and",
        NUMBERS,
    ),
    Mutant("pipeline/report/classes.py", "(after_N[of_c] == c)", "(after_N == c)", NUMBERS),
    Mutant("pipeline/report/cost.py", "waiting.extend(new)", "pass", NUMBERS),
    Mutant(
        "pipeline/report/agreement.py",
        "int(values.argmax()), int(values.argmin())",
        "int(values.argmin()), int(values.argmax())",
        NUMBERS,
    ),
    Mutant(
        "pipeline/report/soft_labels.py",
        "draw(views, seed, stream, v, len(data.train), data.size, data.train.aspect_N)",
        'draw(views, seed, "train", v, len(data.train), data.size, data.train.aspect_N)',
        NUMBERS,
    ),
    Mutant(
        "pipeline/report/words.py",
        'f"{100 * difference:+.1f}"',
        'f"{100 * abs(difference):+.1f}"',
        "tests/report/test_words.py",
    ),
    Mutant(
        "pipeline/report/svg.py",
        "self.height - self.bottom, self.top)",
        "self.top, self.height - self.bottom)",
        "tests/report/test_svg.py",
    ),
    Mutant(
        "pipeline/report/svg.py", "return [each - shift for each in found]", "return found", "tests/report/test_svg.py"
    ),
]
