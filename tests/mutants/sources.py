"""Where images come from, how they are divided, and what is said of them."""

from tests.mutants.mutant import Mutant

SPLITS, S = "pipeline/data/splits.py", "tests/data/test_splits.py"
LISTING, L = "pipeline/data/listing.py", "tests/data/test_listing.py"
LOOKS, E = "pipeline/data/kept_looks.py", "tests/data/test_examine.py"
EXAMINE, ODD = "pipeline/data/examine.py", "tests/data/test_odd_folder.py"
MANIFEST, M = "pipeline/data/manifest.py", "tests/data/test_manifest.py"
TARS, T = "pipeline/data/tars.py", "tests/data/test_tars.py"
REMARKS, R = "pipeline/data/remarks.py", "tests/data/test_remarks.py"

MUTANTS = [
    Mutant(SPLITS, "least[unit] = min(group, ", "least[unit] = max(group, ", S),
    Mutant(SPLITS, "    for unit, group in least.items():", "    for unit, group in ():", S),
    Mutant(SPLITS, "(-(pairs % classes), counts,", "(pairs % classes, counts,", S),
    Mutant(SPLITS, "parent[max(one, other)] = min(one, other)", "parent[max(one, other)] = max(one, other)", S),
    Mutant(SPLITS, "targets.append(1 - left)", "targets.append(share)", S),
    Mutant(SPLITS, "2 * np.cumsum(size_U) - size_U", "2 * np.cumsum(size_U)", S),
    Mutant(SPLITS, "least = ends[-1] + 1 if ends else 1", "least = 0", S),
    Mutant(SPLITS, "kept.append(members[-per_class:])", "kept.append(members[:per_class])", S),
    Mutant(SPLITS, "draw_M4[:, 3] % (classes - 1)", "draw_M4[:, 3] % classes", S),
    Mutant(SPLITS, '_hash(seed, "split", key)', '_hash(0, "split", key)', S),
    Mutant(SPLITS, "usable_N[list(left_out)] = False", "pass", S),
    Mutant(SPLITS, "    check_shares(data, own)\n", "", S),
    Mutant(SPLITS, "    _check_classes(rows, source.labels, source.classes)\n", "", S),
    Mutant(LISTING, "return found.st_size, found.st_mtime_ns", "return found.st_size, 0", L),
    Mutant(LISTING, "return found.st_size, found.st_mtime_ns", "return 0, found.st_mtime_ns", L),
    Mutant(LISTING, "not target.is_relative_to(self.within)", "target.is_relative_to(self.within)", L),
    Mutant(LISTING, "            yield from self.images(name)", "            pass", L),
    Mutant(LISTING, "                self.left_out.add(STRANGE, name)", "                pass", ODD),
    Mutant(LISTING, "                self.left_out.add(HIDDEN, name)\n", "", ODD),
    Mutant(LISTING, "found.setdefault(nfc(name.rpartition", "found.setdefault((name.rpartition", L),
    Mutant("pipeline/data/names.py", "SPLIT_NAMES.get(name.casefold())", "SPLIT_NAMES.get(name)", L),
    Mutant("pipeline/data/names.py", "        if len(first) < SHOWN:", "        if not first:", L),
    Mutant(LOOKS, "if int(sum_) != zlib.crc32(content):", "if not sum_:", E),
    Mutant(LOOKS, "tuple(self._stamp_N2[row].tolist()) != stamp", "self._stamp_N2[row, 0] != stamp[0]", E),
    Mutant(LOOKS, "file.readline() == head and", "file.readline() and", E),
    Mutant(EXAMINE, "                if stamp and isinstance(known, Look):", "                if False:", E),
    Mutant(EXAMINE, "        except NotDecoded as error:", "        except KeyError as error:", ODD),
    Mutant("pipeline/data/prepare.py", 'if data.unreadable == "refuse":', "if False:", ODD),
    Mutant(MANIFEST, "nfc(path), line)) != line", "path, 0)) != 0", M),
    Mutant(MANIFEST, "        if self._within is not None and self._leads_out(path):", "        if False:", M),
    Mutant(MANIFEST, "if not 0 <= weight < math.inf:", "if not 0 <= weight:", M),
    Mutant(MANIFEST, "1.0 if weight is None else weight", "weight or 1.0", M),
    Mutant("pipeline/data/prepare.py", 'source.weights[rows["train"]]', 'source.weights[: len(rows["train"])]', M),
    Mutant(MANIFEST, "if split is None and label is not None:", "if False:", M),
    Mutant(TARS, "if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):", "if False:", T),
    Mutant(TARS, "file.seek(offset)", "file.seek(offset - 1)", T),
    Mutant(REMARKS, "return contents[counts > 1]", "return contents[counts > 2]", R),
    Mutant(REMARKS, "examined.dark & ~examined.flat", "examined.dark", R),
    Mutant(
        "pipeline/data/groups.py",
        "with limited(seconds):",
        "with limited(40):",
        f"{R}::test_a_pattern_that_takes_for_ever_is_ended",
    ),
    Mutant("pipeline/data/groups.py", "(each[1] or None) if each", "(each[0] or None) if each", R),
]
