"""Static SQL: a `.sql` file beside the module that runs it."""

from functools import cache
from importlib import resources


@cache
def load(package: str, name: str) -> bytes:
    """Returns the text of a file in a package's folder."""
    return (resources.files(package) / name).read_bytes()
