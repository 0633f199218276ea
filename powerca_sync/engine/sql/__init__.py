"""Static SQL, one file for each statement or script."""

from functools import cache
from importlib import resources


@cache
def load(name: str) -> bytes:
    """The text of a file in this folder."""
    return (resources.files(__name__) / name).read_bytes()
