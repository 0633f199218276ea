"""The command `powerca-sync`: its options, and one report module for each kind of result.

`commands` parses options and calls the engine or a Dagster job; `local_commands` has the demo and the UI; `console`
prints; the report modules turn frozen results into tables for people and one JSON document for programs. Contains no
sync logic and no SQL.
"""

from powerca_sync.cli.commands import main

__all__ = ["main"]
