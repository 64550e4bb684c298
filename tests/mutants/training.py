"""Small faults of training: rates, steps, which output a teacher gives when, saved progress, what a node records."""

from tests.mutants.mutant import Mutant

RATES = "tests/training/test_recipe.py::test_the_rate_of_every_step_is_the_slow_twins"
LEARN = "tests/training/test_learn.py"
RECORDED = f"{LEARN}::test_a_node_records_what_its_weights_give"
STATE = "tests/training/test_state.py"
TWIN = "tests/training/test_twin.py::test_losses_and_weights_are_the_slow_twins"
CURVE = "tests/training/test_curve.py"
NORMS = "tests/training/test_norms.py"
KEPT = "tests/training/test_labels.py"
TEACHER = "tests/training/test_teacher.py"
SEEN_VIEWS = "pipeline/training/seen_views.py"
STREAMS = "tests/training/test_streams.py"
SAME_VIEWS = "test_every_arm_sees_the_same_views_whatever_teaches_it"
BYTES = "test_the_bytes_of_the_labels_decide_where_no_number_does"
METHODS = "tests/training/test_methods.py"
MUTUAL = "tests/training/test_mutual.py"
RESUMED = f"{METHODS}::test_stopped_anywhere_it_ends_bit_for_bit_the_same"
LIVE = f"{METHODS}::test_a_live_teacher_shows_each_image_its_own_features"
REPLAY = "tests/training/test_replay.py"
RECORDING = "pipeline/training/replay.py"

CHOSEN = "tests/training/test_kept.py"
FROZEN = "tests/training/test_frozen.py"
PROBED = "tests/training/test_probe.py"
BY_DEPTH = "tests/training/test_rates.py"
IMPORTED = "tests/training/test_imported.py"
SCALED = "tests/training/test_scaling.py"
BALANCED = "tests/training/test_balance.py"
UNDISTURBED = f"{BALANCED}::test_statistics_and_generators_are_left_as_they_were"
EQUAL = f"{BALANCED}::test_training_is_that_with_the_weight_given_bit_for_bit"
SUITED = "tests/training/test_suited.py"
LEFT = f"{SUITED}::test_what_has_no_gradient_is_refused_and_what_has_less_says_so"
TAIL = "tests/training/test_labels.py::test_a_term_that_asks_for_more_than_the_labels_hold_is_named"

MUTANTS = [
    # What a term weighs, and whether it suits the classes and the labels.
    Mutant(
        "pipeline/training/balance.py",
        "{name: median(each)",
        "{name: max(each)",
        f"{BALANCED}::test_the_gradient_is_so_many_times_cross_entropys",
    ),
    Mutant(
        "pipeline/training/balance.py",
        "own / other if other",
        "own if other",
        f"{BALANCED}::test_the_gradient_is_so_many_times_cross_entropys",
    ),
    Mutant("pipeline/training/balance.py", "fork_rng([*devices])", "fork_rng([*devices], False)", EQUAL),
    Mutant("pipeline/training/balance.py", "buffer.copy_(buffers[name])", "buffer.copy_(buffer)", UNDISTURBED),
    Mutant(
        "pipeline/training/balance.py",
        "min(times / ratio, most)",
        "times / ratio",
        f"{BALANCED}::test_a_weight_is_at_most_100_times_the_default",
    ),
    Mutant(
        "pipeline/training/balance.py",
        "not LEAST <= ratio",
        "not -1 <= ratio",
        f"{BALANCED}::test_a_term_without_a_gradient_cannot_be_balanced",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "self.at.weights or balance(",
        "balance(",
        f"{BALANCED}::test_a_resumed_training_takes_the_weight_from_its_state",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "        self.at = at\n",
        "",
        f"{BALANCED}::test_training_is_that_with_the_weight_given_bit_for_bit",
    ),
    Mutant(
        "pipeline/training/learn.py",
        "training.balanced(k)",
        "training.balanced()",
        f"{BALANCED}::test_the_weight_stands_in_the_node_of_each_network",
    ),
    Mutant("pipeline/training/suited.py", "own > LEAST * other", "own >= 0 * other", LEFT),
    Mutant("pipeline/training/suited.py", "if classes == 2 and", "if classes == 3 and", LEFT),
    Mutant("pipeline/training/suited.py", 'OBJECTIVES.constant(name, "RAW_LOGITS")', "False", TAIL),
    # Rates and steps.
    Mutant(
        "pipeline/training/recipe.py", "return recipe.lr * (step + 1) / warm", "return recipe.lr * step / warm", RATES
    ),
    Mutant("pipeline/training/recipe.py", "math.cos(math.pi * ", "math.cos(2 * math.pi * ", RATES),
    Mutant("pipeline/training/recipe.py", "(step - warm) / max(1, steps - warm)", "step / max(1, steps)", RATES),
    Mutant("pipeline/training/recipe.py", "for milestone in recipe.milestones", "for milestone in ()", RATES),
    Mutant("pipeline/training/recipe.py", "sum(step >= milestone", "sum(step > milestone", RATES),
    Mutant(
        "pipeline/training/optimizers/sgd.py",
        "nesterov=momentum > 0",
        "nesterov=False",
        "tests/training/test_recipe.py::test_a_hundred_steps_are_those_of_torchs_own",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "done, whole = self.at.epoch * self.steps + step, ",
        "done, whole = step, ",
        f"{TWIN}[baseline-{{}}]",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "self.order(self.at.epoch)",
        "self.order(0)",
        f"{TWIN}[baseline-{{}}]",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "draw(self.views, seed, self.stream, v,",
        'draw(self.views, seed, "train", v,',
        f"{TWIN}[student-{{}}]",
    ),
    # What a curve and a header count.
    Mutant("pipeline/training/curve.py", "torch.tensor(sizes_S, dtype", "torch.ones(steps, dtype", CURVE),
    Mutant("pipeline/training/curve.py", "round(images / at", "round(steps * recipe.batch_size / at", CURVE),
    Mutant(
        "pipeline/training/job.py",
        "images=sum(training.sizes_S)",
        "images=training.steps * training.recipe.batch_size",
        CURVE,
    ),
    Mutant("pipeline/training/norms.py", "each.momentum < least", "each.momentum > least", NORMS),
    Mutant("pipeline/training/norms.py", "min(LARGEST, PART / steps)", "LARGEST", NORMS),
    Mutant("pipeline/training/norms.py", "each.reset_running_stats()", "pass", NORMS),
    Mutant("pipeline/training/norms.py", "each.momentum = None  # torch's", "pass  # torch's", NORMS),
    Mutant(
        "pipeline/training/learner.py",
        "norm for norm in self.norms if norm not in",
        "norm for norm in self.norms or",
        NORMS,
    ),
    Mutant(
        "pipeline/training/loop.py",
        "if self.at.epoch + 1 == self.recipe.epochs or",
        "if self.at.epoch == self.recipe.epochs or",
        NORMS,
    ),
    Mutant("pipeline/training/chance.py", "float(chance + DEVIATIONS", "float(chance + 0", NORMS),
    Mutant("pipeline/training/labelling.py", "            shutil.rmtree(parts, ignore_errors=True)\n", "", KEPT),
    Mutant(
        "pipeline/training/labelling.py",
        "        state.finished.unlink(missing_ok=True)\n",
        "",
        "tests/commands/test_gc.py",
    ),
    Mutant(
        "pipeline/training/export.py",
        "made = [weights, architecture,",
        "made = [architecture,",
        KEPT,
    ),
    Mutant(
        "pipeline/training/labelling.py",
        "images.views_seed, stream, settings.batch_size, format.as_json()",
        "images.views_seed, settings.batch_size, format.as_json()",
        "tests/training/test_labels.py::test_what_was_written_of_one_stream_is_not_taken_for_another",
    ),
    Mutant("pipeline/console/training.py", "self.batch < NEAR * self.batch_size", "self.batch < 1", CURVE),
    Mutant(
        "pipeline/training/loop.py",
        "if self.sequential and learner",
        "if learner",
        f"{MUTUAL}::test_each_network_learns_from_its_peers_last_logits",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "self.recipe.clip)",
        'self.recipe.clip, float("inf"))',
        f"{MUTUAL}::test_it_is_hand_written_alternating_steps",
    ),
    Mutant(
        "pipeline/training/learner.py",
        "norm.track_running_stats = False",
        "norm.track_running_stats = True",
        f"{MUTUAL}::test_running_statistics_see_each_batch_once",
    ),
    Mutant(
        "pipeline/training/learner.py",
        "for module in self.frozen:\n            module.eval()",
        "for module in self.frozen:\n            module.train()",
        f"{METHODS}::test_all_that_should_learn_gets_gradient_and_nothing_else[hint]",
    ),
    Mutant(
        "pipeline/training/learner.py",
        "torch.manual_seed(spec.seed)",
        "torch.manual_seed(0)",
        f"{METHODS}::test_it_starts_where_hard_labels_start_and_sees_the_same_batches[dkd]",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "learner.set(learning_rate(self.recipe, done, whole), done / whole",
        "learner.set(self.recipe.lr, done / whole",
        f"{TWIN}[baseline-{{}}]",
    ),
    # What decides that a finished training is used.
    Mutant("pipeline/training/key.py", "hashes[0] = files.digest", "_ = files.digest", LEARN),
    Mutant("pipeline/training/key.py", "for v in seen(spec.training)", "for v in ()", LEARN),
    Mutant("pipeline/training/key.py", "found=files.digest(header))", "found=hashes[0])", LEARN),
    # What a GPU records and replays.
    Mutant(
        "pipeline/training/replay.py", "tuple(_each(Tensor.clone, one) for one in self.found)", "self.found", REPLAY
    ),
    Mutant(RECORDING, "place.copy_(one)", "pass", REPLAY),
    Mutant(RECORDING, "given.stride(), ", "", REPLAY),
    Mutant(RECORDING, "torch.cuda.set_rng_state(random, self.device)", "pass", REPLAY),
    Mutant(RECORDING, "tuple(_each(Tensor.clone, one) for one in given)", "given", REPLAY),
    Mutant("pipeline/training/learner.py", "self.weights = weights_L.unbind()", "pass", REPLAY),
    Mutant("pipeline/training/learner.py", 'group["lr"] = self.now_L[number]', "pass", REPLAY),
    # The step after the one that broke is named.
    Mutant(
        "pipeline/training/finite.py",
        "wrong_SKL.any(2).nonzero()[0]",
        "wrong_SKL.any(2).nonzero()[-1]",
        "tests/training/test_numerics.py::test_a_term_is_named",
    ),
    # Peers that one network has learned from are changed by its loss, too.
    Mutant(
        "pipeline/training/loop.py",
        "[z_BC.detach() for other",
        "[z_BC for other",
        f"{MUTUAL}::test_each_network_learns_from_its_peers_last_logits",
    ),
    # Which output the teacher gives, and when.
    Mutant("pipeline/data/views.py", "return 1 + (seen if", "return 0 + (seen if", "tests/data/test_views.py"),
    Mutant("pipeline/data/views.py", "seen = before + epoch", "seen = epoch", "tests/data/test_views.py"),
    # Which stream of views, and how many of them.
    Mutant(
        "pipeline/data/streams.py",
        "if stream not in seen",
        "if stream not in seen or stream == f'{FIRST}_2'",
        "tests/data/test_streams.py",
    ),
    Mutant(SEEN_VIEWS, "stream == TRAIN or is_unlimited", "stream == TRAIN", f"{STREAMS}::{SAME_VIEWS}"),
    Mutant(SEEN_VIEWS, "stream == TRAIN or is_unlimited", "is_unlimited", f"{STREAMS}::{SAME_VIEWS}"),
    Mutant(SEEN_VIEWS, "views if views < last_view(spec.training) else None", "views", f"{STREAMS}::{BYTES}"),
    Mutant(
        "pipeline/training/learn.py",
        "        trained_on |= {*initial.trained_on}\n",
        "",
        f"{STREAMS}::test_what_learns_on_has_seen_the_views_of_both_trainings",
    ),
    Mutant(
        "pipeline/training/labelling.py",
        "min(settings.views, held(settings, count, classes))",
        "settings.views",
        f"{STREAMS}::test_a_node_stores_what_fits_and_no_more_than_is_asked_of_it",
    ),
    Mutant(
        "pipeline/training/stage.py",
        "if spec.unlimited and _limits_nothing(spec):",
        "if spec.unlimited:",
        "tests/training/test_stage.py",
    ),
    Mutant(
        "pipeline/labels/layout.py",
        "// a_view - 1",
        "// a_view",
        "tests/labels/test_layout.py",
    ),
    Mutant(
        "pipeline/training/teacher.py",
        "model.eval().requires_grad_(False)",
        "model.train().requires_grad_(False)",
        TEACHER,
    ),
    Mutant("pipeline/training/teacher.py", "passes.append(dict(self.features))", "passes.append(self.features)", LIVE),
    # Progress that is saved and used again.
    Mutant(
        "pipeline/training/key.py",
        '{"data": data_hash, "read"',
        '{"read"',
        f"{LEARN}::test_other_data_have_another_key",
    ),
    Mutant(
        "pipeline/training/key.py",
        '[each["hash"] for each in of_teacher(spec)',
        '[each["read"] for each in of_teacher(spec)',
        f"{LEARN}::test_another_teacher_has_another_key",
    ),
    Mutant(
        "pipeline/training/key.py",
        "_without_paths(training), code, {",
        "_without_paths(training), {",
        f"{LEARN}::test_other_code_has_another_key",
    ),
    Mutant(
        "pipeline/training/key.py",
        '"hash": teacher.hashes[read]',
        '"hash": teacher.hashes["weights"]',
        f"{LEARN}::test_lineage_names_what_is_really_read",
    ),
    Mutant(
        "pipeline/training/checkpoint.py",
        ' | {"fused": is_fused(self.device.where)}',
        "",
        f"{LEARN}::test_progress_of_another_environment_is_not_used",
    ),
    Mutant(
        "pipeline/training/exactness.py",
        '"threads": torch.get_num_threads()',
        '"threads": 1',
        f"{LEARN}::test_progress_of_another_environment_is_not_used",
    ),
    Mutant(
        "pipeline/training/device.py",
        "if self.dtype == torch.float32:",
        "if self.dtype != torch.float64:",
        "tests/training/test_device.py",
    ),
    Mutant(
        "pipeline/training/loop.py", "self.at.step = step + 1", "self.at.step = step", f"{RESUMED}[method/dkd-changes1]"
    ),
    Mutant(
        "pipeline/training/checkpoint.py",
        "self.seconds += self.epoch_seconds",
        "self.seconds = self.epoch_seconds",
        f"{LEARN}::test_training_seconds_are_those_of_all_epochs",
    ),
    Mutant(
        "pipeline/training/snapshot.py",
        "torch.set_rng_state(tensors[RANDOM])",
        "torch.set_rng_state(torch.get_rng_state())",
        f"{RESUMED}[method/dkpp-changes0]",
    ),
    Mutant(
        "pipeline/training/snapshot.py",
        'losses.copy_(tensors["losses"])',
        'tensors["losses"].copy_(losses)',
        f"{RESUMED}[method/dkd-changes1]",
    ),
    Mutant(
        "pipeline/training/snapshot.py",
        "others.setdefault(index, {})[name] = value",
        "others.setdefault(index, {})",
        "tests/training/test_snapshot.py",
    ),
    Mutant(
        "pipeline/training/snapshot.py", "group.update(saved)", "group.update({})", "tests/training/test_snapshot.py"
    ),
    Mutant(
        "pipeline/training/snapshot.py",
        "if each.dtype != now[name].dtype",
        "if False",
        "tests/training/test_snapshot.py",
    ),
    Mutant(
        "pipeline/training/snapshot.py",
        '(tuple if kind == "tuple" else list)',
        "list",
        "tests/training/test_snapshot.py",
    ),
    Mutant(
        "pipeline/training/snapshot.py",
        "torch.empty_like(parameter, dtype=slot.dtype).copy_(slot)",
        "slot.clone()",
        "tests/training/test_precision.py::test_it_goes_on_exactly",
    ),
    Mutant("pipeline/training/state.py", "os.fsync(file.fileno())", "file.fileno()", STATE),
    Mutant("pipeline/training/state.py", "os.fsync(descriptor)", "os.fstat(descriptor)", STATE),
    Mutant("pipeline/training/state.py", "if self.current.exists():", "if self.previous.exists():", STATE),
    Mutant(
        "pipeline/training/state.py",
        "if hashlib.sha256(body).digest() == content[:DIGEST]:",
        "if content[:DIGEST]:",
        STATE,
    ),
    Mutant(
        "pipeline/base/locks.py",
        "fcntl.flock(descriptor, fcntl.LOCK_EX",
        "fcntl.flock(descriptor, fcntl.LOCK_SH",
        STATE,
    ),
    # What a node records.
    Mutant(
        "pipeline/training/learn.py",
        "answer(model.eval(), numbers[model])",
        "answer(model.train(), numbers[model])",
        RECORDED,
    ),
    Mutant(
        "pipeline/training/learn.py",
        "split = training.data.validation",
        "split = training.data.test",
        RECORDED,
    ),
    Mutant(
        "pipeline/training/learn.py",
        "path = node.checked_weights(of)",
        "path = of.weights",
        f"{LEARN}::test_a_teacher_whose_weights_are_damaged_is_refused",
    ),
    Mutant("pipeline/training/export.py", "result.model.eval()", "result.model.train()", RECORDED),
    Mutant("pipeline/training/export.py", 'metrics["validation"][metric_of', 'metrics["test"][metric_of', RECORDED),
    Mutant(
        "pipeline/training/export.py",
        'read_predictions(teacher)["test"]',
        'read_predictions(teacher)["validation"]',
        RECORDED,
    ),
    # Recipes that fine-tune.
    Mutant("pipeline/training/kept.py", "metric.merit(last) > max(known)", "metric.merit(last) >= max(known)", CHOSEN),
    Mutant("pipeline/training/kept.py", ">= recipe.patience", "> recipe.patience", CHOSEN),
    Mutant("pipeline/training/kept.py", "return all(", "return any(", CHOSEN),
    Mutant("pipeline/training/learner.py", "return self.best or self.final", "return self.final", CHOSEN),
    Mutant("pipeline/training/loop.py", "or self.recipe.chooses:", "or False:", CHOSEN),
    Mutant(
        "pipeline/training/checkpoint.py", "at.epoch if at.is_over(self.recipe, self.metric) else self", "self", CHOSEN
    ),
    Mutant("pipeline/training/frozen.py", "parameter.requires_grad_(False)", "pass", FROZEN),
    Mutant("pipeline/training/frozen.py", "if id(each) not in above and not any", "if not any", FROZEN),
    Mutant("pipeline/training/learner.py", "self.frozen += freeze(", "freeze(", FROZEN),
    Mutant("pipeline/training/probe.py", "forward_fixed(forward, x_BCHW, self.batch_size)", "forward(x_BCHW)", PROBED),
    Mutant("pipeline/training/probe.py", "v = 0 if self.is_still else v", "pass", PROBED),
    Mutant("pipeline/training/probe.py", "learner.train()\n", "learner.model.eval()\n", PROBED),
    Mutant("pipeline/training/recipe.py", "each.ndim > 1", "each.ndim > 0", BY_DEPTH),
    Mutant("pipeline/training/recipe.py", "enumerate(reversed(levels))", "enumerate(levels)", BY_DEPTH),
    Mutant("pipeline/training/averaging.py", "1 - step**-POWER", "1 - (1 + step) ** -POWER", BY_DEPTH),
    Mutant("pipeline/training/averaging.py", "own.copy_(its)", "pass", BY_DEPTH),
    Mutant("pipeline/training/learner.py", "self.average.model if self.average else self", "self", BY_DEPTH),
    Mutant("pipeline/training/loop.py", "[part.share * each for each in weighted]", "weighted", BY_DEPTH),
    Mutant("pipeline/training/imported.py", "        _check_resumes(name, kind, lr, arguments)\n", "", IMPORTED),
    Mutant("pipeline/training/imported.py", "if key in taken}", "if key in ours}", IMPORTED),
    Mutant("pipeline/planning/units.py", '(f"{module}.py", f"{module}/__init__.py")', '(f"{module}.py",)', IMPORTED),
    Mutant(
        "pipeline/planning/units.py",
        'f"{OWN}{each}": each for each in files',
        'f"optimizer {name}": each for each in files',
        IMPORTED,
    ),
    Mutant("pipeline/training/scaling.py", "torch.zeros_like(each)", "torch.ones_like(each)", SCALED),
    Mutant("pipeline/training/scaling.py", "self.found.zero_()", "pass", SCALED),
    Mutant("pipeline/training/scaling.py", "torch.zeros_like(steepest), steepest", "steepest, steepest", SCALED),
    Mutant(
        "pipeline/config/across.py",
        " or _unmeasured(each, key)",
        "",
        "tests/config/test_effect.py::test_what_validation_decides_needs_logits",
    ),
]
