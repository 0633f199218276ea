"""Static SQL in `.sql` files beside the modules that execute it."""

from functools import cache
from importlib import resources


@cache
def load(package: str, name: str) -> bytes:
    """Returns the text of a file in a package's folder."""
    return (resources.files(package) / name).read_bytes()
