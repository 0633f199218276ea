"""The path that forward runs take in the tests: `ENGINE_PATH="text-copy text-hashes differences"`.

The words replace what a test, a history or a campaign would choose by itself.
"""

import dataclasses
import os
from typing import Any, Final

from powerca_sync.engine.result import Options, Transfer

VARIABLE: Final = "ENGINE_PATH"
#: With `text-hashes`, the digests of `differences` are SHA-256 of texts, otherwise typed hashes.
WORDS: Final = {
    "binary-copy": {"binary_copy": True},
    "text-copy": {"binary_copy": False},
    "typed-hashes": {"typed_hashes": True},
    "text-hashes": {"typed_hashes": False},
    "everything": {"transfer": Transfer.EVERYTHING},
    "differences": {"transfer": Transfer.DIFFERENCES},
    "one-table": {"tables_at_once": 1},
    "two-tables": {"tables_at_once": 2},
}


def chosen_options(words: str) -> dict[str, Any]:
    """Returns the options that the words choose. Raises `ValueError` for an unknown or contradicted word."""
    options: dict[str, Any] = {}
    for word in words.split():
        if word not in WORDS or options.keys() & WORDS[word].keys():
            raise ValueError(f"{VARIABLE}: `{word}` is not one of {', '.join(WORDS)}, or contradicts another word.")
        options |= WORDS[word]
    return options


_CHOSEN: Final = chosen_options(os.environ.get(VARIABLE, ""))


def on_path(options: Options) -> Options:
    """Returns the options with those of the chosen path."""
    return dataclasses.replace(options, **_CHOSEN)
