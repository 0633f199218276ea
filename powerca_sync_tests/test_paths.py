"""Each word of `ENGINE_PATH` sets the options of the path that it names, in every kind of test."""

import os
import subprocess
import sys

import pytest

from powerca_sync.engine.result import Options, Transfer
from powerca_sync_tests.paths import VARIABLE, WORDS, chosen_options


def test_each_option_has_two_words() -> None:
    names = [name for options in WORDS.values() for name in options]
    assert {name: names.count(name) for name in names} == dict.fromkeys(
        ("binary_copy", "typed_hashes", "transfer", "tables_at_once"), 2
    )
    assert Options(**chosen_options("text-copy text-hashes differences")) == Options(
        binary_copy=False, typed_hashes=False, transfer=Transfer.DIFFERENCES
    )


@pytest.mark.parametrize("words", ["text", "differences everything"])
def test_unknown_or_contradicted_word_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=words.split()[-1]):
        chosen_options(words)


def test_corpora_take_the_chosen_path() -> None:
    script = """
from powerca_sync_tests.corpus import encodings, full, keys, names, relations, rules, settings, texts, values
modules = (encodings, full, keys, names, relations, rules, settings, texts, values)
cases = [getattr(case, "case", case) for module in modules for case in getattr(module, "CASES", ())]
assert len(cases) > 100
print({(one.options.binary_copy, one.options.typed_hashes, str(one.options.transfer)) for one in cases})
"""
    environment = os.environ | {VARIABLE: "text-copy text-hashes differences"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert done.stdout.strip() == "{(False, False, 'differences')}"
