"""params.yaml with other values, and every comment in its place."""

import io
from collections.abc import Callable, Mapping
from typing import Any


def edited(text: str, change: Callable[[Any], None]) -> str:
    """The YAML of `text` after `change` was done to its content, mappings of ruamel.yaml, in place."""
    # As long to import as DVC's own parser, which it is; only who writes YAML with comments needs it.
    from ruamel.yaml import YAML

    editor = YAML()
    editor.width = 1 << 20
    editor.preserve_quotes = True
    editor.representer.add_representer(
        type(None), lambda own, _: own.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    content = editor.load(text)
    change(content)
    out = io.StringIO()
    editor.dump(content, out)
    return out.getvalue()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Key, old and new value of all that is not the same, of flattened params; a dash for nothing."""
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return [(key, _text(before.get(key)), _text(after.get(key))) for key in keys]


def _text(value: Any) -> str:
    return "-" if value is None else str(value)
