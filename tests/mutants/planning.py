"""Small faults of what decides which stage runs, with what, and whether an earlier result still holds."""

from tests.mutants.mutant import Mutant

PLAN = "pipeline/plan.py"
CODE = "tests/test_plan.py::test_the_code_of_a_network_is_that_of_all_that_trains_it"
LIVE = "tests/test_plan.py::test_features_are_heard_live_and_a_live_teacher_answers_in_batches_of_one_size"
PAIRED = "tests/test_plan.py::test_paired_students_share_their_seed_and_generations_do_not"
COMPRESS = "pipeline/compress_plan.py"
PARAMS_TESTS = "tests/test_params.py::test_steps_that_train_are_filled_in_and_what_they_give_themselves_counts"
FINGERPRINT = "pipeline/fingerprint.py"
FINGERPRINT_TESTS = "tests/test_fingerprint.py"

MUTANTS = [
    Mutant(
        PLAN,
        "                if number > 1:\n",
        "                if number > 2:\n",
        "tests/test_plan.py::test_every_generation_but_the_first_may_stop_the_chain",
    ),
    Mutant(PLAN, 'labels["batch_size"] if teaching == "live" else None', "None", LIVE),
    Mutant(PLAN, '"live" if needs_features(section.objective) else section.teaching', "section.teaching", LIVE),
    Mutant(PLAN, 'code(["pipeline/training/loop.py", *modules])', 'code(["pipeline/training/loop.py"])', CODE),
    Mutant(
        PLAN,
        "self.params.seeds.train if section.seed is None else section.seed",
        "section.seed or self.params.seeds.train",
        "tests/test_plan.py::test_a_seed_of_its_own_counts_whatever_it_is",
    ),
    Mutant(PLAN, '{"baseline", "direct", "method"}', '{"baseline", "direct"}', PAIRED),
    Mutant(
        PLAN, 'f"mutual/members/{k}"', '"mutual/members"', "tests/test_plan.py::test_peers_start_from_different_weights"
    ),
    Mutant(PLAN, "for each in architectures for path in models(each)", "for path in models(architectures[0])", CODE),
    Mutant(
        PLAN,
        "if family not in TEACHING and name",
        "if family not in TEACHING or name",
        "tests/test_plan.py::test_only_who_teaches_labels_views",
    ),
    Mutant(
        "pipeline/plan_parts.py",
        'f"{base}:{role}".encode()',
        "role.encode()",
        "tests/test_plan.py::test_another_seed_moves_every_network_and_one_more_generation_none",
    ),
    Mutant(
        "pipeline/graph.py",
        "if length > len(have):",
        "if length >= len(have):",
        "tests/test_plan.py::test_every_slot_can_be_asked_for",
    ),
    Mutant(
        COMPRESS,
        "previous if isinstance(step, Distil) else section.teacher",
        "section.teacher",
        "tests/test_compress_plan.py::test_who_distils_learns_from_the_node_before_and_who_tunes_from_the_teacher_of_the_section",
    ),
    Mutant(
        COMPRESS,
        "section.order[number + 1 : number + 2]",
        "section.order[number : number + 1]",
        "tests/test_compress_plan.py::test_only_who_is_heard_labels_views",
    ),
    Mutant(
        COMPRESS,
        'steps/{step.kind}.py", *REBUILDING, *models',
        'steps/{step.kind}.py", *models',
        "tests/test_compress_plan.py::test_every_step_has_the_code_that_rebuilds_what_the_one_before_it_made",
    ),
    Mutant(
        COMPRESS,
        'f"/{times}" if times > 1 else ""',
        '""',
        "tests/test_compress_plan.py::test_a_step_that_comes_again_learns_in_another_order",
    ),
    Mutant(
        "pipeline/sections/compress.py",
        "                grids = None\n",
        "                pass\n",
        "tests/test_compress_plan.py::test_a_fresh_network_lies_on_no_grids",
    ),
    Mutant(
        "pipeline/params.py",
        '_merged(training, found[name].get("recipe"))',
        '_merged(found[name].get("recipe"), training)',
        PARAMS_TESTS,
    ),
    Mutant("pipeline/params.py", 'student.get("teaching", "stored")', '"stored"', PARAMS_TESTS),
    Mutant(
        "pipeline/sections/term.py",
        "(final - self.weight) * share)",
        "(final - self.weight) * rise)",
        "tests/objectives/test_compose.py",
    ),
    Mutant(
        "pipeline/sections/learner.py",
        'if term["weight"] > 0}',
        'if term["weight"] >= 0}',
        "tests/test_params.py::test_a_wrong_value_is_named_with_what_would_be_right",
    ),
    Mutant("pipeline/schema.py", "if parameter.arg not in exclude", "if parameter.arg", "tests/test_schema.py"),
    Mutant(FINGERPRINT, "        yield from _running(child)\n", "", FINGERPRINT_TESTS),
    Mutant(
        FINGERPRINT,
        '[node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]',
        "[node.module]",
        FINGERPRINT_TESTS,
    ),
    Mutant(FINGERPRINT, "names = [alias.name for alias in node.names]", "names = []", FINGERPRINT_TESTS),
    Mutant(FINGERPRINT, "parts.append(repr(value))", "parts.append(type(value).__name__)", FINGERPRINT_TESTS),
    Mutant("pipeline/files.py", "            os.replace(aside, path)\n", "            pass\n", "tests/test_files.py"),
    Mutant("pipeline/files.py", "indent=1, sort_keys=True", "indent=1", "tests/test_files.py"),
    Mutant(
        "pipeline/files.py",
        'value.pop("seal", None) != digest(value)',
        'value.pop("seal", None) is None',
        "tests/test_node.py",
    ),
    Mutant("pipeline/node.py", '"origin": to.source', '"origin": to.name', "tests/test_node.py"),
    Mutant("pipeline/node.py", "        discard(name)\n        raise", "        raise", "tests/test_node.py"),
    Mutant(
        "pipeline/predictions.py",
        'if hashlib.sha256(content).hexdigest() != of.hashes["predictions"]:',
        "if not content:",
        "tests/test_predictions.py",
    ),
    Mutant(
        "pipeline/predictions.py", "~z_NC.isfinite().all(1)", "~z_NC.isfinite().any(1)", "tests/test_predictions.py"
    ),
    Mutant(
        "pipeline/chain.py",
        "max(accuracies[:-patience]) + min_gain",
        "accuracies[-patience - 1] + min_gain",
        "tests/test_chain.py",
    ),
    Mutant(
        "pipeline/slot.py",
        'previous.status == "carried" or stopped(',
        "stopped(",
        "tests/test_slot.py",
    ),
    Mutant(
        "pipeline/slot.py",
        "for _, accuracy in previous.chain]",
        "for _, accuracy in previous.chain[1:]]",
        "tests/test_slot.py",
    ),
    Mutant(
        "pipeline/vote.py",
        '(logits_MNC["validation"], y_N["validation"])',
        '(logits_MNC["test"], y_N["test"])',
        "tests/test_vote.py",
    ),
    Mutant(
        "pipeline/vote.py",
        "{each.source: node.read(each.source) for",
        "{each.name: node.read(each.source) for",
        "tests/test_vote.py",
    ),
    Mutant("pipeline/vote.py", "labels.rows(v, rows_B)", "labels.rows(0, rows_B)", "tests/test_vote.py"),
    Mutant(
        "pipeline/lock.py", 'if dep.get("md5") != spec_hash(specs[node]):', "if not specs[node]:", "tests/test_lock.py"
    ),
    Mutant("pipeline/lock.py", " or why(makers[path]) is not None)", ")", "tests/test_lock.py"),
    Mutant("pipeline/lock.py", 'outs[path] != dep.get("md5") or ', "", "tests/test_lock.py"),
    Mutant(
        "pipeline/cache.py",
        "for above in (path, *(str(each) for each in Path(path).parents)):",
        "for above in (path,):",
        "tests/test_cache.py",
    ),
    Mutant("pipeline/last.py", "statistics.median(rates)", "max(rates)", "tests/test_cache.py"),
    Mutant(
        "pipeline/collect.py",
        "not unfinished and not State",
        "not unfinished and State",
        "tests/test_collect.py::test_finished_goes_unfinished_stays_until_asked_for",
    ),
    Mutant("pipeline/yaml_file.py", "if key.value in given:", "if key in given:", "tests/test_yaml_file.py"),
    Mutant("pipeline/yaml_file.py", "[eE][-+]?", "[eE][-+]", "tests/test_yaml_file.py"),
]
