"""Small faults of what compresses networks, judges them and builds them."""

from tests.mutants.mutant import Mutant

FAKE = "pipeline/models/fake_quantise.py"
FAKE_TESTS = "tests/models/test_fake_quantise.py"
REPLACE_TESTS = (
    "tests/compression/test_replace.py::test_it_is_fitted_by_adam_along_a_cosine_and_judged_on_the_first_batch"
)
IMPORTANCE_TESTS = (
    "tests/compression/test_filters.py::test_importance_is_the_mean_over_layers_of_the_share_of_their_weights"
)
WORK_TESTS = "tests/compression/test_work.py"
PROBE = "tests/models/test_probe.py"
READING = "tests/models/test_reading.py"
FAMILIES = "tests/models/test_families.py"
EXPORT = "pipeline/compression/export_onnx.py"
EXPORTED = "tests/compression/test_export_onnx.py"

MUTANTS = [
    # The scales of the weights are computed once and kept.
    Mutant(FAKE, "self._follow(weight.detach().flatten(1))", "pass", FAKE_TESTS),
    Mutant(FAKE, "dot_O / norm_O.clamp(min=1)", "dot_O / norm_O.sqrt().clamp(min=1)", FAKE_TESTS),
    Mutant(FAKE, "0, -self.top, self.top)", "0, -self.top - 1, self.top)", FAKE_TESTS),
    Mutant(FAKE, "x.min().clamp(max=0).float()", "x.min().float()", FAKE_TESTS),
    Mutant(FAKE, "    model.eval()\n", "    model.train()\n", FAKE_TESTS),
    Mutant(FAKE, "layer in (layers[0], layers[-1])", "layer in (layers[0],)", FAKE_TESTS),
    Mutant(FAKE, "for x_BCHW in batches:", "for x_BCHW in list(batches)[:1]:", FAKE_TESTS),
    Mutant(
        "pipeline/models/grid.py",
        "largest_O = np.abs(weights_OI).max(axis=1)\n        return",
        "largest_O = weights_OI.max(axis=1)\n        return",
        FAKE_TESTS,
    ),
    Mutant("pipeline/models/grid.py", "np.linspace(0.2, 1.0, 33)", "np.linspace(1.0, 1.0, 1)", FAKE_TESTS),
    Mutant(
        "pipeline/models/codebook.py",
        "(centroids_K[1:] + centroids_K[:-1]) / 2",
        "centroids_K[1:]",
        "tests/models/test_codebook.py",
    ),
    Mutant("pipeline/models/codebook.py", "if len(values) <= 2**bits:", "if False:", "tests/models/test_codebook.py"),
    Mutant(
        "pipeline/models/codebook.py",
        "indices[flat == 0] = place",
        "indices[flat == 0] = 0",
        "tests/models/test_codebook.py",
    ),
    Mutant(
        "pipeline/compression/factorise.py",
        "self.s_K.square().cpu().cumsum(0)",
        "self.s_K.cpu().cumsum(0)",
        "tests/compression/test_factorise.py::test_energy_bounds_the_error_by_the_smallest_rank",
    ),
    Mutant(
        "pipeline/compression/factorise.py",
        "self.u_MK[:, :rank] * root_K",
        "self.u_MK[:, :rank] * self.s_K[:rank]",
        "tests/compression/test_factorise.py::test_a_convolution_at_full_rank_is_the_same",
    ),
    Mutant(
        "pipeline/compression/prune.py",
        "weights[name].abs().flatten()",
        "weights[name].flatten()",
        "tests/compression/test_prune.py",
    ),
    Mutant(
        "pipeline/compression/prune.py",
        "if not mask.all()]",
        "if not mask.any()]",
        "tests/compression/test_prune.py",
    ),
    Mutant(
        "pipeline/compression/steps/tune.py",
        "return Masks.of_zeros(model).keeper(model)",
        "return None",
        "tests/compression/test_tune.py",
    ),
    Mutant(
        "pipeline/compression/steps/tune.py",
        'architecture | ({"grids": grids} if weight_bits else {})',
        "architecture",
        "tests/compression/test_tune.py",
    ),
    Mutant(
        "pipeline/compression/factorise.py",
        "for name, module in plain.items() if name in flops}",
        "for name, module in plain.items()}",
        "tests/compression/test_factorise.py::test_a_layer_whose_weights_are_read_without_calling_it_is_left",
    ),
    Mutant(
        "pipeline/compression/factorise.py",
        "* (whole - self.weights(rank)) // whole",
        "* self.weights(rank) // whole",
        "tests/compression/test_factorise.py::test_the_search_counts_without_building",
    ),
    Mutant(
        "pipeline/compression/target.py",
        "except Exception as error:  # of whatever class: it is",
        "except ValueError as error:  # of whatever class: it is",
        "tests/compression/test_factorise.py::test_a_network_that_does_not_run_in_two_is_one_sentence",
    ),
    Mutant(
        "pipeline/compression/filters.py",
        "except Exception as error:  # of whatever class: what",
        "except TypeError as error:  # of whatever class: what",
        "tests/compression/test_filters.py::test_what_cannot_be_followed_is_one_sentence",
    ),
    Mutant(
        "pipeline/compression/filters.py",
        "before - (before - goal) * number // rounds",
        "goal",
        "tests/compression/test_filters.py::test_two_rounds_are_two_prunings_one_after_the_other",
    ),
    Mutant(
        "pipeline/compression/filters.py",
        "key=lambda unit: unit.importance",
        "key=lambda unit: -unit.importance",
        "tests/compression/test_filters.py::test_the_least_important_filters_go",
    ),
    Mutant(
        "pipeline/compression/coupling.py",
        "return norms_C / norms_C.mean().clamp_min(torch.finfo(norms_C.dtype).tiny)",
        "return norms_C",
        IMPORTANCE_TESTS,
    ),
    Mutant(
        "pipeline/compression/coupling.py", "return sum(shares) / len(shares)", "return sum(shares)", IMPORTANCE_TESTS
    ),
    Mutant("pipeline/compression/replace.py", "(1 + math.cos(", "(1 - math.cos(", REPLACE_TESTS),
    Mutant(
        "pipeline/compression/replace.py",
        "held = _input_and_output(model, layer, first_BCHW)",
        "held = _input_and_output(model, layer, first_BCHW * 0)",
        REPLACE_TESTS,
    ),
    Mutant(
        "pipeline/compression/replace.py",
        "tapped(model.eval(), ",
        "tapped(model.train(), ",
        "tests/compression/test_replace.py::test_the_model_is_left_as_it_is",
    ),
    Mutant(
        "pipeline/models/surgery.py",
        '"dilation": list(module.dilation)',
        '"dilation": [1, 1]',
        "tests/models/test_surgery.py",
    ),
    Mutant("pipeline/compression/work.py", 'STREAM = "compress"', 'STREAM = "train"', WORK_TESTS),
    Mutant("pipeline/compression/work.py", "itertools.count(1)", "itertools.count(0)", WORK_TESTS),
    Mutant(
        "pipeline/compression/work.py",
        "draw(self.views, seed, STREAM, v,",
        "draw(self.views, seed, STREAM, 1,",
        WORK_TESTS,
    ),
    Mutant(
        "pipeline/compression/costs.py",
        '"ratio": teacher / own',
        '"ratio": own / teacher',
        "tests/compression/test_costs.py",
    ),
    Mutant(
        "pipeline/compression/runtime.py",
        "return shares_NC / shares_NC.sum(axis=1, keepdims=True)",
        "return shares_NC / shares_NC.max(axis=1, keepdims=True)",
        "tests/commands/test_predict.py::test_a_folder_is_classified_in_order_whatever_the_batch",
    ),
    Mutant(
        "pipeline/compression/runtime.py",
        "astype(np.float32) / 255",
        "astype(np.float32) / 256",
        "tests/compression/test_runtime.py::test_pixels_are_shares_of_the_brightest",
    ),
    Mutant(
        "pipeline/compression/quantise.py",
        "pixels_NCHW[start : start + size]",
        "pixels_NCHW[:size]",
        "tests/compression/test_quantise.py::test_calibration_sees_every_batch",
    ),
    Mutant("pipeline/evaluation/metrics.py", '"batchmean"', '"mean"', "tests/evaluation/test_metrics.py"),
    Mutant(
        "pipeline/evaluation/metrics.py",
        "for z_NC in (logits_NC, teacher_NC)",
        "for z_NC in (teacher_NC, logits_NC)",
        "tests/evaluation/test_metrics.py",
    ),
    Mutant(
        "pipeline/evaluation/metrics.py",
        "square().sum(1).mean()",
        "square().mean()",
        "tests/evaluation/test_metrics.py",
    ),
    Mutant(
        "pipeline/evaluation/ensemble.py",
        "weights_M.to(logits_MNC).log()",
        "weights_M.to(logits_MNC)",
        "tests/evaluation/test_ensemble.py",
    ),
    Mutant(
        "pipeline/evaluation/ensemble.py",
        "fit_weights(fitted_on[0][:members], fitted_on[1])",
        "fit_weights(logits_MNC[:members], y_N)",
        "tests/evaluation/test_ensemble.py",
    ),
    Mutant(
        "pipeline/evaluation/statistics.py",
        "statistics.stdev(",
        "statistics.pstdev(",
        "tests/evaluation/test_statistics.py",
    ),
    Mutant(
        "pipeline/evaluation/statistics.py",
        "student_t(0.95, each.count - 1)",
        "student_t(0.95, each.count)",
        "tests/evaluation/test_statistics.py",
    ),
    Mutant("pipeline/evaluation/statistics.py", "(1 + share) / 2", "share", "tests/evaluation/test_statistics.py"),
    Mutant("pipeline/evaluation/cost.py", "times[WARM_UP:]", "times", "tests/evaluation/test_cost.py"),
    Mutant(
        "pipeline/evaluation/cost.py",
        "return size + len(packer.flush())",
        "return size",
        "tests/evaluation/test_cost.py",
    ),
    Mutant(
        "pipeline/models/taps.py",
        "read(output) if read else output",
        "read(output) if read else output.detach()",
        "tests/models/test_taps.py",
    ),
    Mutant("pipeline/models/taps.py", "model.train(training)", "model.train(False)", "tests/models/test_taps.py"),
    Mutant(
        "pipeline/models/taps.py",
        "read(output) if read else output",
        "output",
        f"{PROBE}::test_stages_end_where_they_do_and_maps_are_maps[swin]",
    ),
    Mutant(
        "pipeline/models/taps.py",
        "places.get(name, name)",
        "name",
        f"{PROBE}::test_a_module_that_is_called_embedding_stays",
    ),
    Mutant("pipeline/models/reading.py", "permute(0, 3, 1, 2)", "permute(0, 3, 2, 1)", READING),
    Mutant("pipeline/models/reading.py", "x[:, self.front :", "x[:, self.back :", READING),
    Mutant("pipeline/models/reading.py", "if best > LEAST else None", "", READING),
    Mutant("pipeline/models/reading.py", "best = max(known)", "best = known[0]", READING),
    Mutant("pipeline/models/reading.py", "if len(known) < len(shares):", "if False:", READING),
    Mutant(
        "pipeline/models/probe.py",
        "not STEM.search(call.name) and",
        "",
        f"{PROBE}::test_what_is_called_a_stem_is_no_stage",
    ),
    Mutant(
        "pipeline/models/probe.py",
        "_layers(call.module) > 1] or calls",
        "True]",
        f"{PROBE}::test_stages_end_where_they_do_and_maps_are_maps[mobilenet]",
    ),
    Mutant(
        "pipeline/models/probe.py",
        "trunks |= holding",
        "break",
        f"{PROBE}::test_stages_end_where_they_do_and_maps_are_maps[convnext]",
    ),
    Mutant("pipeline/models/probe.py", " or len(each) != len(x_BCHW)", "", f"{PROBE}::test_windows_are_no_images"),
    Mutant(
        "pipeline/models/probe.py",
        "buffer.clone()",
        "buffer",
        f"{PROBE}::test_looking_leaves_the_network_and_the_generator_as_they_were",
    ),
    Mutant(
        "pipeline/models/probe.py",
        "same[-1] if same else fitting[0]",
        "fitting[-1]",
        f"{PROBE}::test_of_two_heads_whose_mean_it_gives_the_first_is_taken",
    ),
    Mutant(
        "pipeline/models/probe.py",
        "(model.train(), buffers",
        "(model.eval(), buffers",
        f"{PROBE}::test_what_is_no_classifier_is_refused",
    ),
    Mutant(
        "pipeline/models/probe.py",
        "len(blocks) * number // count - 1",
        "number - 1",
        f"{PROBE}::test_stages_end_where_they_do_and_maps_are_maps[vit]",
    ),
    Mutant(
        "pipeline/models/head.py",
        "if not hasattr(model, EMBEDDING) and",
        "if",
        f"{PROBE}::test_a_module_that_is_called_embedding_stays",
    ),
    Mutant("pipeline/models/residual.py", "(0, 0, 0, 0, 0, self.added)", "(0, 0, 0, 0, self.added, 0)", FAMILIES),
    Mutant("pipeline/models/wide.py", "self.shortcut(active_BCHW)", "self.shortcut(x_BCHW)", FAMILIES),
    Mutant("pipeline/models/net.py", 'mode="fan_out"', 'mode="fan_in"', "tests/models/test_build.py"),
    Mutant(
        "pipeline/models/torchvision.py",
        "expand(-1, channels, -1, -1) / channels",
        "expand(-1, channels, -1, -1)",
        "tests/models/test_torchvision.py::test_pretrained_weights_fill_all_but_the_head",
    ),
    Mutant(
        "pipeline/models/files.py",
        "if not tensor.isfinite().all():",
        "if tensor.isnan().all():",
        "tests/models/test_files.py",
    ),
    Mutant(
        "pipeline/models/budget.py",
        "while beyond - fits > 1:",
        "while beyond - fits > 2:",
        "tests/models/test_budget.py::test_the_width_is_the_last_that_fits_whatever_the_budget",
    ),
    Mutant(
        "pipeline/models/separable.py",
        "self.shortcut = stride == 1 and inputs == outputs",
        "self.shortcut = False",
        "tests/models/test_separable.py",
    ),
    Mutant(
        "pipeline/models/plain.py",
        "[nn.Linear(features, hidden), nn.ReLU()]",
        "[nn.Linear(features, hidden)]",
        FAMILIES,
    ),
    # What cannot be exported.
    Mutant(EXPORT, "            setattr(layer, FUSED, True)", "            getattr(layer, FUSED)", EXPORTED),
    Mutant(EXPORT, "        setattr(layer, FUSED, False)", "        getattr(layer, FUSED)", EXPORTED),
    Mutant(EXPORT, "    except (MemoryError, OSError):", "    except MemoryError:", EXPORTED),
    Mutant(EXPORT, "({innermost(error)})", "({error})", EXPORTED),
    Mutant(
        "pipeline/compression/costs.py",
        "except NotExported as error:",
        "except KeyError as error:",
        "tests/compression/test_costs.py",
    ),
]
