"""Small faults of what is learned: objectives, soft labels, data."""

from tests.mutants.mutant import Mutant

LOSSES = "tests/objectives/test_losses.py::test_it_equals_the_reference"
LOGITS = "tests/objectives/test_logits.py"
FEATURES = "tests/objectives/test_features.py"
LAYERS = f"{FEATURES}::test_it_equals_the_reference"
PAIRING = "tests/objectives/test_pairing.py"
COMPOSE = "tests/objectives/test_compose.py"
FORMAT = "tests/labels/test_format.py"
LABELLER = "tests/labels/test_labeller.py"
PARTS = "tests/labels/test_parts.py"
BASIS = "tests/labels/test_basis.py"
LAYOUT = "tests/labels/test_layout.py"
ROWS = "test_a_view_has_the_rows_of_its_parts_in_order"
STORE = "tests/labels/test_store.py"
PREPARE = "tests/data/test_prepare.py"
VIEWS = "tests/data/test_views.py"
BATCHES = "tests/data/test_batches.py"

OBJECTIVES = [
    # Logits.
    Mutant("pipeline/objectives/cross_entropy.py", "y_B, label_smoothing=label_smoothing)", "y_B)", LOSSES),
    Mutant("pipeline/objectives/soft_targets.py", "return temperature**2 * ", "return ", LOSSES),
    Mutant(
        "pipeline/objectives/soft_targets.py",
        "F.kl_div(student_BC, teacher_BC,",
        "F.kl_div(teacher_BC, student_BC,",
        LOSSES,
    ),
    Mutant("pipeline/objectives/label_refinery.py", 'reduction="batchmean"', 'reduction="mean"', LOSSES),
    Mutant(
        "pipeline/objectives/born_again.py", "t_BC.detach().float()", "t_BC.float()", "tests/objectives/test_losses.py"
    ),
    Mutant("pipeline/objectives/logit_matching.py", 'if reduction == "sum"', 'if reduction == "mean"', LOSSES),
    Mutant("pipeline/objectives/dkd.py", "(alpha * tckd + beta * nckd)", "(beta * tckd + alpha * nckd)", LOGITS),
    Mutant("pipeline/objectives/dkd.py", "target_B2, others_BC.log_softmax(dim=1)", "target_B2, others_BC", LOGITS),
    Mutant("pipeline/objectives/dist.py", "(beta * inter + gamma * intra)", "(gamma * inter + beta * intra)", LOGITS),
    Mutant(
        "pipeline/objectives/vectors.py", "unit(x - x.mean(dim=dim, keepdim=True), dim, length)", "unit(x, dim)", LOGITS
    ),
    Mutant(
        "pipeline/objectives/logit_standardisation.py",
        "logits_BC.shape[1] ** 0.5",
        "(logits_BC.shape[1] - 1) ** 0.5",
        LOGITS,
    ),
    Mutant(
        "pipeline/objectives/cwtm.py", "confidence_B / confidence_B.sum()", "confidence_B / len(confidence_B)", LOGITS
    ),
    Mutant("pipeline/objectives/dkpp.py", ".scatter(1, top_B1, -1.0).argsort", ".argsort", LOGITS),
    Mutant("pipeline/objectives/mutual.py", "torch.stack(losses).mean()", "torch.stack(losses).sum()", LOGITS),
    Mutant("pipeline/objectives/mutual.py", " - math.log(len(peers))", "", LOGITS),
    Mutant("pipeline/objectives/vectors.py", "(ROUNDING * of)", "(0 * of)", LOGITS),
    # Layers and relations.
    Mutant("pipeline/objectives/similarity_preserving.py", ".mean() / BATCH if", ".mean() if", LAYERS),
    Mutant(
        "pipeline/objectives/rkd_distance.py",
        "ROUNDING * (length_B",
        "0 * (length_B",
        f"{FEATURES}::test_samples_that_differ_by_rounding_alone_have_no_relation",
    ),
    Mutant(
        "pipeline/objectives/fitnet_hint.py",
        "0.5 * (s_BCHW - t_BCHW)",
        "(s_BCHW - t_BCHW)",
        f"{FEATURES}::test_the_hint_equals_the_reference",
    ),
    Mutant(
        "pipeline/objectives/fitnet_hint.py",
        "squares.sum() / len(squares)",
        "squares.sum()",
        f"{FEATURES}::test_the_hint_equals_the_reference",
    ),
    Mutant("pipeline/objectives/fsp.py", " / first_BCN.shape[2]", "", f"{FEATURES}::test_fsp_equals_the_reference"),
    Mutant(
        "pipeline/objectives/windows.py",
        "F.max_pool2d(x, kernel)",
        "F.avg_pool2d(x, kernel)",
        f"{FEATURES}::test_fsp_max_pools_the_larger_map_of_one_network",
    ),
    Mutant(
        "pipeline/objectives/attention_transfer.py",
        "s_BCHW.abs().pow(p).sum(dim=1)",
        "s_BCHW.abs().pow(2).sum(dim=1)",
        LAYERS,
    ),
    Mutant(
        "pipeline/objectives/attention_transfer.py",
        "vector_norm(s_BN - t_BN, dim=1).mean()",
        "vector_norm(s_BN - t_BN, dim=1).sum()",
        LAYERS,
    ),
    Mutant(
        "pipeline/objectives/rkd.py",
        "distance_weight * distance + angle_weight *",
        "angle_weight * distance + distance_weight *",
        LAYERS,
    ),
    Mutant("pipeline/objectives/rkd_distance.py", "table_BB / mean.where", "table_BB / mean.detach().where", LAYERS),
    Mutant(
        "pipeline/objectives/rkd_angle.py",
        "slice(first, first + step)",
        "slice(first, first + step - (step > 1))",
        f"{FEATURES}::test_angles_do_not_depend_on_the_chunks",
    ),
    Mutant("pipeline/objectives/rkd_angle.py", "return grads[0] * ctx.grad_BD", "return ctx.grad_BD", LAYERS),
    Mutant(
        "pipeline/objectives/similarity_preserving.py",
        "unit(f_BD @ f_BD.T, dim=1)",
        "unit(f_BD, dim=1) @ unit(f_BD, dim=1).T",
        LAYERS,
    ),
    Mutant("pipeline/objectives/cosine_table.py", "max(1, student_BP.numel())", "len(student_BP) ** 2", LAYERS),
    Mutant(
        "pipeline/objectives/pkt.py",
        "F.kl_div(student_BP.log(), teacher_BP.log(),",
        "F.kl_div(teacher_BP.log(), student_BP.log(),",
        LAYERS,
    ),
    Mutant(
        "pipeline/objectives/pkt.py",
        "kernel_BP / kernel_BP.sum(dim=1, keepdim=True)",
        "kernel_BP / kernel_BP.sum(dim=0, keepdim=True)",
        LAYERS,
    ),
    Mutant(
        "pipeline/objectives/vectors.py",
        "long = norm > (SHORTEST if",
        "long = norm > (-SHORTEST if",
        f"{FEATURES}::test_unit_vectors_have_length_one_or_zero",
    ),
    Mutant(
        "pipeline/objectives/layers.py",
        "loss(s.float(), t.detach().float())",
        "loss(s.float(), t.float())",
        f"{FEATURES}::test_no_gradient_reaches_the_teacher",
    ),
    Mutant(
        "pipeline/objectives/layers.py",
        "for s, t in pairs]).sum()",
        "for s, t in pairs]).mean()",
        f"{FEATURES}::test_pairs_of_layers_are_summed",
    ),
    Mutant("pipeline/objectives/layers.py", "enabled=False", "enabled=True", LAYERS),
    # Which layers, and how much each term counts.
    Mutant(
        "pipeline/objectives/pairing.py", "zip(own[-count:], other[-count:]", "zip(own[:count], other[:count]", PAIRING
    ),
    Mutant(
        "pipeline/objectives/compose.py",
        "_layer(signals.teacher, pair.teacher, signals.t_BC)",
        "_layer(signals.teacher, pair.student, signals.t_BC)",
        PAIRING,
    ),
    Mutant("pipeline/objectives/compose.py", "schedule.at(share)", "schedule.at(0.0)", COMPOSE),
    Mutant("pipeline/objectives/compose.py", "nn.ModuleDict(learned)", "nn.ModuleDict()", PAIRING),
]

LABELS = [
    Mutant("pipeline/labels/store.py", "SCHEMA = 1\n", "SCHEMA = 1\nSplit = None\n", "tests/test_names.py"),
    Mutant(
        "pipeline/labels/format.py", "others_BC.logsumexp(1) - math.log", "others_BC.logsumexp(1) + math.log", FORMAT
    ),
    Mutant("pipeline/labels/format.py", "descending=True, stable=True", "descending=True", FORMAT),
    Mutant("pipeline/labels/format.py", "beyond_B1 = logits_BC.abs()", "beyond_B1 = logits_BC", FORMAT),
    Mutant("pipeline/labels/labeller.py", "draw(views, seed, stream, v,", 'draw(views, seed, "labels", v,', LABELLER),
    Mutant("pipeline/labels/labeller.py", "rows[several * begun :]", "rows", PARTS),
    Mutant("pipeline/labels/labeller.py", "            begun = 0\n", "", PARTS),
    Mutant("pipeline/labels/parts.py", "record[:DIGEST] != self._seal(", "not self._seal(", PARTS),
    Mutant("pipeline/labels/parts.py", 'f"{len(self.whole)} {number}', 'f"{number}', PARTS),
    Mutant("pipeline/labels/parts.py", "parts.seek(at + begins)", "parts.seek(begins)", f"{PARTS}::{ROWS}"),
    Mutant(
        "pipeline/labels/parts.py",
        "target.unlink(missing_ok=True)",
        "pass",
        f"{PARTS}::test_labels_of_an_earlier_time_make_room",
    ),
    Mutant("pipeline/labels/parts.py", "sum([*lengths.values()][:number])", "0", f"{PARTS}::{ROWS}"),
    Mutant(
        "pipeline/labels/mapped.py",
        'b" " * (-len(header) % 8)',
        'b""',
        f"{PARTS}::test_a_view_is_what_safetensors_writes",
    ),
    # Low-rank labels: other components, bits that hang on the batch, others above what is kept, another basis.
    Mutant("pipeline/labels/basis.py", "vectors_CC.flip(1)[:, :rank]", "vectors_CC[:, :rank]", BASIS),
    Mutant("pipeline/labels/basis.py", ".round().clamp(-MOST, MOST)", ".round()", BASIS),
    Mutant("pipeline/labels/basis.py", "((steps_RC / unit).round() * unit).float()", "steps_RC.float()", BASIS),
    Mutant("pipeline/labels/basis.py", "axes_RC *= largest_R1.sign()", "pass", BASIS),
    Mutant("pipeline/labels/basis.py", "np.arange(chosen) * count // chosen", "np.arange(chosen)", BASIS),
    Mutant("pipeline/labels/format.py", "others_BC = torch.minimum(others_BC, below_B1)", "pass", BASIS),
    Mutant("pipeline/labels/kept_basis.py", "            left.unlink()\n", "            pass\n", BASIS),
    Mutant("pipeline/labels/kept_basis.py", "if any(not np.isfinite(array).all()", "if any(False", BASIS),
    Mutant("pipeline/labels/labeller.py", "logits(SAMPLE_VIEW, Rows", "logits(min(SAMPLE_VIEW, count), Rows", PARTS),
    Mutant("pipeline/labels/layout.py", "(max_bytes - shared) // a_view", "max_bytes // a_view", LAYOUT),
    Mutant("pipeline/labels/layout.py", "if rank >= classes or a_row >= dense:", "if rank >= classes:", LAYOUT),
    Mutant(
        "pipeline/labels/store.py", '        _check_length(folder / BASIS, basis["bytes"])\n', "        pass\n", STORE
    ),
    Mutant("pipeline/labels/store.py", '_is_file(value.get("basis")) if', "True if", STORE),
    Mutant("pipeline/labels/parts.py", "if line != _line(v, file):", "if not line:", PARTS),
    Mutant("pipeline/labels/parts.py", "file.truncate(sum(map(self._size, self.sizes[: self.done])))", "pass", PARTS),
    Mutant("pipeline/labels/writer.py", "            self._failed = True\n", "", PARTS),
    Mutant("pipeline/labels/writer.py", "len(self._waiting) > AHEAD", "self._waiting", PARTS),
    Mutant("pipeline/labels/labeller.py", "missing = size - len(part_BCHW)", "missing = 0", LABELLER),
    Mutant(
        "pipeline/labels/labeller.py",
        "normalise(x_BCHW, mean_C, std_C)",
        "normalise(x_BCHW, std_C, mean_C)",
        LABELLER,
    ),
    Mutant("pipeline/labels/store.py", "if header.data_hash != data_hash:", "if not header.data_hash:", STORE),
    Mutant("pipeline/labels/store.py", "sorted(views.keys() | header.view_spec.keys())", "sorted(views)", STORE),
    Mutant("pipeline/labels/store.py", "verify(path, recorded, remedy(folder), found=digest(value))", "pass", STORE),
    Mutant("pipeline/labels/store.py", "self._hashes[v])", "sha256(path))", STORE),
    Mutant("pipeline/labels/writer.py", "torch.isfinite(logits_BC).all(1)", "torch.isfinite(logits_BC).any(1)", PARTS),
    Mutant("pipeline/labels/store.py", 'arrays["indices"].max() >= len', 'arrays["indices"].max() > len', STORE),
    Mutant("pipeline/labels/mapped.py", "found=hashlib.sha256(raw.data).hexdigest()", "found=sha256", STORE),
]

DATA = [
    Mutant(
        "pipeline/data/batches.py",
        "np.array_split(order_N, math.ceil(len(order_N) / size)) if len(order_N) else []",
        "[order_N[start : start + size] for start in range(0, len(order_N), size)]",
        BATCHES,
    ),
    Mutant("pipeline/data/batches.py", 'generator(seed, "order", epoch)', 'generator(seed, "order")', BATCHES),
    Mutant(
        "pipeline/data/feed.py",
        "here, rows, mean_C",
        "here, Rows(rows.host_B, rows.device_B.flip(0)), mean_C",
        "tests/data/test_feed.py",
    ),
    Mutant("pipeline/data/views.py", "(2 * views.shift + 1)", "(2 * views.shift)", VIEWS),
    Mutant(
        "pipeline/data/views.py", "(x_BH[:, None, :], y_BH[:, :, None])", "(y_BH[:, :, None], x_BH[:, None, :])", VIEWS
    ),
    Mutant("pipeline/data/views.py", "* u_6N[3]).sqrt()", "* u_6N[3])", VIEWS),
    Mutant("pipeline/data/views.py", "generator(seed, stream, v)", "generator(seed, v)", VIEWS),
    Mutant(
        "pipeline/data/views.py",
        "torch.where(flip_B[:, None], at_H.flip(0), at_H)",
        "torch.where(flip_B[:, None], at_H, at_H.flip(0))",
        VIEWS,
    ),
    Mutant(
        "pipeline/data/views.py",
        "copy=True).div_(255)",
        "copy=True)",
        VIEWS,
    ),
    Mutant(
        "pipeline/data/writing.py",
        'statistics(np.load(out / IMAGES["train"]',
        'statistics(np.load(out / IMAGES["test"]',
        PREPARE,
    ),
    Mutant("pipeline/data/prepare.py", 'bound = {"files": images, ', "bound: dict[str, object] = {", PREPARE),
    Mutant("pipeline/data/prepare.py", "TRUE_LABELS: chosen.true_labels", "TRUE_LABELS: noisy_labels", PREPARE),
    Mutant("pipeline/data/writing.py", "(number * squares - total * total)", "(number * squares)", PREPARE),
    Mutant(
        "pipeline/data/prepared.py",
        "verify(path, header.files.get(path.name), again)",
        "pass",
        "tests/data/test_prepared.py",
    ),
    Mutant(
        "pipeline/data/prepared.py",
        "labels_N.max() >= len(header.classes)",
        "labels_N.max() > len(header.classes)",
        "tests/data/test_prepared.py",
    ),
    Mutant(
        "pipeline/data/sources/digits.py",
        "np.rint(pixels_NP.reshape(-1, 8, 8) * (255 / 16))",
        "(pixels_NP.reshape(-1, 8, 8) * (255 / 16))",
        "tests/data/test_sources.py",
    ),
    Mutant(
        "pipeline/data/torchvision.py",
        "for part in (True, False))",
        "for part in (False, True))",
        "tests/data/test_sources.py",
    ),
    Mutant(
        "pipeline/data/generator.py",
        "digest(list(key))",
        "digest([str(each) for each in key])",
        "tests/data/test_generator.py",
    ),
]

MUTANTS = OBJECTIVES + LABELS + DATA
