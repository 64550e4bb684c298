"""Small faults of what decides which stage runs, with what, and whether an earlier result still holds."""

from tests.mutants.mutant import Mutant

PLANNER = "pipeline/planning/planner.py"
METHODS = "pipeline/planning/methods.py"
ASKED = "pipeline/planning/asked_views.py"
BUILD = "tests/planning/test_build.py"
SPEC = "pipeline/planning/specs/spec.py"
SPEC_TESTS = "tests/planning/test_specs.py"
CODE = "tests/planning/test_build.py::test_the_code_of_a_network_is_that_of_all_that_trains_it"
LIVE = "tests/planning/test_build.py::test_features_need_a_live_teacher_which_has_batches_of_one_size"
PAIRED = "tests/planning/test_build.py::test_paired_students_share_their_seed_and_generations_do_not"
COMPRESS = "pipeline/planning/compress.py"
PARAMS_TESTS = "tests/config/test_params.py::test_steps_that_train_are_filled_in_and_what_they_give_themselves_counts"
WIRING = "pipeline/planning/wiring.py"
WIRE_TESTS = "tests/commands/test_wire.py"
FINGERPRINT = "pipeline/planning/fingerprint.py"
MEANING = "pipeline/planning/meaning.py"
FINGERPRINT_TESTS = "tests/planning/test_fingerprint.py"
YAML = "pipeline/config/yaml.py"
YAML_TESTS = "tests/config/test_yaml.py"
INTERNALS = "pipeline/dvc/internals.py"
INTERNALS_TESTS = "tests/dvc/test_internals.py"
RELEASES = "pipeline/planning/releases.py"
QUEUE = "tests/dvc/test_queue.py"
FOLDERS = "pipeline/training/folders.py"
STRANGE = "tests/commands/test_gc.py::test_what_is_not_ours_stays_whole_and_is_named"
ACCEPT = (
    "tests/commands/test_accept.py::test_every_other_difference_is_named "
    "tests/commands/test_accept.py::test_what_is_listed_is_no_difference"
)

MUTANTS = [
    Mutant(
        "pipeline/planning/chains.py",
        "stop=rule) if number > 1",
        "stop=rule) if number > 2",
        "tests/planning/test_build.py::test_every_generation_but_the_first_may_stop_the_chain",
    ),
    Mutant(PLANNER, 'self.labels().batch_size if teaching == "live" else None', "None", LIVE),
    Mutant(PLANNER, '"live" if needs_features(section.objective) else section.teaching', "section.teaching", LIVE),
    Mutant(PLANNER, "code(units.LOOP | used)", "code(units.LOOP)", CODE),
    Mutant(
        PLANNER,
        "self.params.seeds.train if section.seed is None else section.seed",
        "section.seed or self.params.seeds.train",
        "tests/planning/test_build.py::test_a_seed_of_its_own_counts_whatever_it_is",
    ),
    Mutant(PLANNER, '{"baseline", "direct", "method"}', '{"baseline", "direct"}', PAIRED),
    Mutant(
        METHODS,
        'f"mutual/members/{k}"',
        '"mutual/members"',
        "tests/planning/test_build.py::test_peers_start_from_different_weights",
    ),
    Mutant(METHODS, "for each in architectures for unit", "for each in architectures[:1] for unit", CODE),
    Mutant(
        ASKED,
        "*_readers(specs), *_next_links(specs, params)",
        "*_readers(specs),",
        f"{BUILD}::test_a_node_labels_as_many_views_as_the_longest_of_its_students_has_epochs",
    ),
    Mutant(
        ASKED,
        "for _ in specs:  # again",
        "for _ in (1,):  # once",
        f"{BUILD}::test_who_may_stand_for_another_node_passes_on_what_is_asked",
    ),
    Mutant(
        ASKED,
        "views=params.labels.views or views",
        "views=views",
        f"{BUILD}::test_a_number_in_the_params_stands_for_the_epochs_of_any_student",
    ),
    Mutant(
        METHODS,
        '"epochs": whole - before',
        '"epochs": whole',
        f"{BUILD}::test_the_epochs_of_a_hint_are_those_of_the_method_that_begins_with_it",
    ),
    Mutant(
        PLANNER,
        'TRAIN if where == "teacher" else FIRST',
        "TRAIN",
        f"{BUILD}::test_hard_labels_are_learned_on_the_crops_of_the_teachers_own_students",
    ),
    Mutant(
        "pipeline/planning/build.py",
        "if isinstance(spec, NodeSpec)]",
        'if name != "prepare"]',
        "tests/planning/test_build.py::test_what_is_no_network_is_not_taken_for_one",
    ),
    Mutant(
        SPEC,
        "type(value) is hint or",
        "isinstance(value, hint) or",
        f"{SPEC_TESTS}::test_a_spec_of_another_version_is_one_sentence",
    ),
    Mutant(
        SPEC,
        'if value.get("node", name) != name else []',
        "if False else []",
        f"{SPEC_TESTS}::test_a_spec_of_another_version_is_one_sentence",
    ),
    Mutant(
        SPEC,
        "if not (value is default is None)",
        "if value is not None",
        f"{SPEC_TESTS}::test_what_is_optional_is_left_out_and_what_is_null_is_told",
    ),
    Mutant(
        "pipeline/planning/parts.py",
        'f"{base}:{role}".encode()',
        "role.encode()",
        "tests/planning/test_build.py::test_another_seed_moves_every_network_and_one_more_generation_none",
    ),
    Mutant(
        "pipeline/planning/graph.py",
        "if length > len(have):",
        "if length >= len(have):",
        "tests/planning/test_build.py::test_every_slot_can_be_asked_for",
    ),
    Mutant(
        COMPRESS,
        "previous if fresh else section.teacher",
        "section.teacher",
        "tests/planning/test_compress.py::test_who_distils_learns_from_the_node_before_and_who_tunes_from_the_teacher_of_the_section",
    ),
    Mutant(
        COMPRESS,
        "units.step(step.kind) | units.REBUILDING",
        "units.step(step.kind)",
        "tests/planning/test_compress.py::test_every_step_has_the_code_that_rebuilds_what_the_one_before_it_made",
    ),
    Mutant(
        COMPRESS,
        'f"/{times}" if times > 1 else ""',
        '""',
        "tests/planning/test_compress.py::test_a_step_that_comes_again_learns_in_another_order",
    ),
    Mutant(
        "pipeline/config/compress.py",
        "                grids = None\n",
        "                pass\n",
        "tests/planning/test_compress.py::test_a_fresh_network_lies_on_no_grids",
    ),
    Mutant(
        "pipeline/config/params.py",
        '_merged(training, found[name].get("recipe"))',
        '_merged(found[name].get("recipe"), training)',
        PARAMS_TESTS,
    ),
    Mutant("pipeline/config/params.py", 'student.get("teaching", "stored")', '"stored"', PARAMS_TESTS),
    Mutant(
        "pipeline/config/term.py",
        "(final - self.weight) * share)",
        "(final - self.weight) * rise)",
        "tests/objectives/test_compose.py",
    ),
    Mutant(
        "pipeline/config/network.py",
        'term.get("weight") != 0 or term["final"]}',
        'term.get("weight") != -1 or term["final"]}',
        "tests/config/test_params.py::test_a_wrong_value_is_named_with_what_would_be_right",
    ),
    Mutant(
        "pipeline/config/extension.py",
        "if other == name or key in given",
        "if other == name",
        "tests/config/test_extension.py::test_keys_of_another_file_are_checked_kept_and_not_used",
    ),
    Mutant(
        "pipeline/config/extension.py",
        "for other in (*point.names(), name)",
        "for other in (name, *point.names())",
        "tests/config/test_extension.py::test_of_a_key_that_several_declare_the_named_ones_counts",
    ),
    Mutant("pipeline/planning/build.py", "units.source(data.source) | ", "", CODE),
    Mutant(
        "pipeline/planning/planner.py",
        "networks | units.optimizer(section.recipe.optimizer)",
        "networks",
        CODE,
    ),
    Mutant(
        "pipeline/config/signature.py",
        "if parameter.arg not in exclude",
        "if parameter.arg",
        "tests/config/test_signature.py",
    ),
    Mutant(WIRING, "{*each.written} == {*each.expected}", "{*each.written} >= {*each.expected}", WIRE_TESTS),
    Mutant(WIRING, "name, reader=reader: name != reader", "name: True", WIRE_TESTS),
    Mutant(WIRING, ', without=("metrics/refined.json",)', "", WIRE_TESTS),
    Mutant(WIRING, 'f"{path}/".startswith(others)', "path.startswith(others)", WIRE_TESTS),
    Mutant(
        "pipeline/commands/wire.py", "column = self.value.value[0][1]", "column = self.value.value[-1][1]", WIRE_TESTS
    ),
    Mutant("pipeline/commands/wire.py", "if after != before and not check:", "if after != before:", WIRE_TESTS),
    Mutant(
        "pipeline/planning/units.py",
        '"refined": "pipeline/lineage/refined.py"',
        '"refined": TRAINING',
        "tests/planning/test_units.py",
    ),
    # A step of compression depends on no code of its own; an optimiser's file on no stage.
    Mutant(
        "pipeline/planning/compress.py",
        'code(units.stage("compress") | used)',
        'code(units.stage("compress"))',
        "tests/planning/test_compress.py::test_a_step_follows_the_meaning_of_its_own_code_only",
    ),
    Mutant(MEANING, " and name not in others", "", FINGERPRINT_TESTS),
    Mutant(MEANING, " and len(owners[target]) == 1", "", FINGERPRINT_TESTS),
    Mutant(MEANING, "not more and ", "", FINGERPRINT_TESTS),
    Mutant(MEANING, "type(node.ctx) is ast.Load", "True", FINGERPRINT_TESTS),
    Mutant(MEANING, "str(sorted(", "str(list(", FINGERPRINT_TESTS),
    Mutant(FINGERPRINT, "for _ in circle:", "for _ in circle[:2]:", FINGERPRINT_TESTS),
    Mutant(MEANING, "if value.orelse:", "if not value.orelse:", FINGERPRINT_TESTS),
    Mutant(MEANING, "self.parts.append(repr(value))", "self.parts.append(type(value).__name__)", FINGERPRINT_TESTS),
    Mutant(
        "pipeline/base/files.py",
        "            os.replace(aside, path)\n",
        "            pass\n",
        "tests/base/test_files.py",
    ),
    Mutant("pipeline/base/files.py", "indent=1, sort_keys=True", "indent=1", "tests/base/test_files.py"),
    Mutant(
        "pipeline/base/files.py",
        'repro`", found=digest(value))',
        'repro`", found=str(seal))',
        "tests/lineage/test_node.py",
    ),
    Mutant("pipeline/lineage/node.py", '"origin": to.source', '"origin": to.name', "tests/lineage/test_node.py"),
    Mutant(
        "pipeline/lineage/node.py",
        "        discard(name)\n        raise",
        "        raise",
        "tests/lineage/test_node.py",
    ),
    Mutant(
        "pipeline/lineage/predictions.py",
        "found = hashlib.sha256(content).hexdigest()",
        'found = of.hashes["predictions"]',
        "tests/lineage/test_predictions.py",
    ),
    Mutant(
        "pipeline/lineage/predictions.py",
        "~z_NC.isfinite().all(1)",
        "~z_NC.isfinite().any(1)",
        "tests/lineage/test_predictions.py",
    ),
    Mutant(
        "pipeline/lineage/chain.py",
        "max(merits[:-patience]) + min_gain",
        "merits[-patience - 1] + min_gain",
        "tests/lineage/test_chain.py",
    ),
    Mutant(
        "pipeline/training/stage.py",
        'previous.status == "carried" or stopped(',
        "stopped(",
        "tests/training/test_stage.py",
    ),
    Mutant(
        "pipeline/training/stage.py",
        "for _, figure in previous.chain]",
        "for _, figure in previous.chain[1:]]",
        "tests/training/test_stage.py",
    ),
    Mutant(
        "pipeline/training/ensemble.py",
        '(logits_MNC["validation"], y_N["validation"])',
        '(logits_MNC["test"], y_N["test"])',
        "tests/training/test_ensemble.py",
    ),
    Mutant(
        "pipeline/training/ensemble.py",
        "{each.source: node.read(each.source) for",
        "{each.name: node.read(each.source) for",
        "tests/training/test_ensemble.py",
    ),
    Mutant(
        "pipeline/training/ensemble.py",
        "spec, ENSEMBLE, folder",
        'spec, "labels", folder',
        "tests/training/test_ensemble.py",
    ),
    Mutant(
        "pipeline/dvc/lock.py",
        'if dep.get("md5") != spec_hash(specs[node].as_json()):',
        "if not specs[node]:",
        "tests/dvc/test_lock.py",
    ),
    Mutant("pipeline/dvc/lock.py", " or why(makers[path]) is not None)", ")", "tests/dvc/test_lock.py"),
    Mutant("pipeline/dvc/lock.py", 'outs[path] != dep.get("md5") or ', "", "tests/dvc/test_lock.py"),
    Mutant(INTERNALS, "found |= {stage, *networkx.descendants(graph, stage)}", "found |= {stage}", INTERNALS_TESTS),
    Mutant(INTERNALS, "return bool(reproduce(", "return not (reproduce(", INTERNALS_TESTS),
    Mutant("pipeline/dvc/queue.py", '"tmp/exps/celery"', '"tmp/celery"', INTERNALS_TESTS),
    Mutant(
        "pipeline/dvc/cache.py",
        "for above in (path, *(str(each) for each in Path(path).parents)):",
        "for above in (path,):",
        "tests/dvc/test_cache.py",
    ),
    Mutant("pipeline/dvc/previous_run.py", "statistics.median(rates)", "max(rates)", "tests/dvc/test_cache.py"),
    Mutant(RELEASES, "new == newest and old in before", "old in before", ACCEPT),
    Mutant(RELEASES, "new == newest and old in before", "new == newest", ACCEPT),
    Mutant(RELEASES, "key in now and not any(", "not any(", ACCEPT),
    Mutant(RELEASES, "implied=not in_both", "implied=False", ACCEPT),
    Mutant(
        "pipeline/dvc/relock.py",
        'if lock.parse(text.encode(), "dvc.lock").stages != expected:',
        "if not text:",
        "tests/commands/test_accept.py::test_only_the_specs_of_the_lock_are_rewritten",
    ),
    Mutant(
        "pipeline/commands/accept.py",
        'startswith(("training.", "code.training"))',
        'startswith("training.")',
        "tests/commands/test_accept.py::test_training_goes_on_only_by_code_and_settings_that_are_known_to_be_the_same",
    ),
    Mutant(
        "pipeline/training/moved_state.py",
        "                    _move(now, was)\n",
        "                    pass\n",
        "tests/commands/test_accept.py::test_saved_training_moves_back_where_the_rest_fails",
    ),
    Mutant(
        "pipeline/commands/gc.py",
        "not unfinished and not State",
        "not unfinished and State",
        "tests/commands/test_gc.py::test_finished_goes_unfinished_stays_until_asked_for",
    ),
    Mutant(FOLDERS, "if not known.fullmatch(path.name) or not", "if not", STRANGE),
    Mutant(FOLDERS, "stat.S_ISREG(path.lstat().st_mode)", "path.exists()", STRANGE),
    Mutant(FOLDERS, "not KEY.fullmatch(folder.name) or ", "", STRANGE),
    Mutant(
        FOLDERS,
        "key=lambda path: path.name == LOCK",
        "key=lambda path: path.name != LOCK",
        "tests/commands/test_gc.py::test_the_lock_goes_last",
    ),
    Mutant(
        "pipeline/base/files.py",
        "re.escape(path.name)",
        "path.name",
        "tests/base/test_files.py::test_only_what_we_leave_behind_is_cleared_away",
    ),
    Mutant(
        "pipeline/dvc/queue.py",
        "if task.name in names:\n",
        "if True:\n",
        f"{QUEUE}::test_our_own_dead_are_given_up_and_those_of_others_named",
    ),
    Mutant(
        "pipeline/dvc/queue.py",
        "task.returncode is None and",
        "",
        f"{QUEUE}::test_while_a_worker_lives_only_what_was_killed_is_dead",
    ),
    Mutant(
        "pipeline/config/numbers.py",
        "ge=1, le=100_000",
        "ge=1",
        "tests/config/test_bounds.py::test_every_number_has_both_ends",
    ),
    Mutant(
        "pipeline/console/streams.py",
        "os.dup2(nowhere, number)",
        "pass",
        "tests/console/test_streams.py::test_an_output_that_nobody_reads_any_more_ends_in_silence",
    ),
    Mutant(
        "pipeline/engines/process.py",
        "if was_stopped():",
        "if False:",
        "tests/engines/test_process.py::test_what_dvc_says_of_a_stage_that_was_stopped_is_not_shown",
    ),
    Mutant(YAML, "if found in given:", "if key in given:", YAML_TESTS),
    Mutant(YAML, "[0-9][0-9_]*[eE][-+]?", "[0-9][0-9_]*[eE][-+]", YAML_TESTS),
    Mutant(YAML, "int(digits[2:], base) if base else int(digits)", "int(digits, 0)", YAML_TESTS),
    Mutant(YAML, "for _class in (_Loader, _Dumper):", "for _class in (_Loader,):", YAML_TESTS),
    Mutant(YAML, "any(open_in_flow) and", "not open_in_flow and", YAML_TESTS),
]
