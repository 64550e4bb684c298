"""Remove training state from DVC's default remote that nothing will go on with."""

import re
from collections import defaultdict
from dataclasses import dataclass

from pipeline.base.errors import UserError, innermost
from pipeline.dvc.remote import RemoteFolder
from pipeline.training import shared_labels, shared_snapshots

SHARED = re.compile(
    r"((?:[A-Za-z0-9_-]+/)+[0-9a-f]{16})/(.+)"
)  # of training.sharing: node and place, and what lies there


@dataclass
class CollectedRemote:
    """How many files of how many trainings and label sets were removed; unfinished: those that stay.

    strange: files that are no saved training: they stay, too.
    """

    files: int = 0
    removed: int = 0
    unfinished: int = 0
    strange: int = 0


def collect_remote(remote: RemoteFolder, *, unfinished: bool = False) -> CollectedRemote:
    """Remove the state of finished training and labelling; whoever still uses it elsewhere makes it again.

    Args:
        remote: The folder of all training state there.
        unfinished: Remove that of unfinished ones, too.

    Raises:
        UserError: The remote cannot be read, or nothing be removed there.
    """
    done, found, finished = CollectedRemote(), defaultdict[tuple[str, str], list[str]](list), set[tuple[str, str]]()
    try:
        for name in remote.names():
            top, rest = words.groups() if (words := SHARED.fullmatch(name)) else ("", "")
            snapshot, labels = shared_snapshots.named(rest), shared_labels.named(rest)
            if snapshot:
                group, is_finished = (top, snapshot.folder), snapshot.is_finished
            elif labels:
                group, is_finished = (f"{top}/{shared_labels.LABELS}", labels.folder), labels.is_finished
            else:
                done.strange += 1
                continue
            found[group].append(name)
            finished |= {group} if is_finished else set()
        for group, names in found.items():
            if group not in finished and not unfinished:
                done.unfinished += 1
                continue
            for name in names:
                remote.remove(name)
            done.removed += 1
            done.files += len(names)
    except Exception as error:  # whatever the library of a remote raises
        raise UserError(f"training state in the remote was not all removed ({innermost(error)})") from None
    return done
