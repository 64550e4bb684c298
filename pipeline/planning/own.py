"""The fingerprint of a user's own network: of its file and of all files of the repository that it imports.

As of our own code, comments, docstrings and formatting do not count, and what it imports of `pipeline` counts by its
meaning. Unlike it, the files count with their paths: nothing is required of how a user's files import one another.
"""

from pipeline.base.files import digest
from pipeline.base.paths import CODE
from pipeline.config import own
from pipeline.config.own_files import closure
from pipeline.planning.fingerprint import fingerprint
from pipeline.planning.meaning import ModuleFiles, read_meaning


def own_fingerprint(module: str) -> str:
    """Hash of the meaning of the file `module`, with those that it imports.

    Raises:
        UserError: It is not there or no Python, or a relative import names no file.
    """
    files = ModuleFiles(CODE)
    meanings = {path: read_meaning(files, path) for path in closure(own.path(module))}
    ours = {each: fingerprint(CODE, each) for meaning in meanings.values() for each in meaning.imports}
    return digest({own.shown(path): meaning.hash(ours) for path, meaning in meanings.items()})
