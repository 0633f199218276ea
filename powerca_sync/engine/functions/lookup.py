"""Look up a function of the office in the desktop's catalog: does it exist, and may the role call it?"""

import dataclasses

from psycopg import sql

from powerca_sync.engine.postgres import Cursor, load, one_row
from powerca_sync.settings import DesktopFunction


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FunctionFacts:
    """The facts of the catalog about a function."""

    has_schema: bool
    has_name: bool
    #: A function of that name takes no arguments; the other facts are about that one.
    takes_no_arguments: bool
    #: Neither a procedure, which may commit, nor an aggregate, a window function or a trigger function.
    is_plain: bool
    #: It returns a record whose columns only the caller could name.
    lacks_columns: bool
    #: Privileges of the role, on the schema and on the function.
    usage: bool
    execute: bool


def read_function(cursor: Cursor, function: DesktopFunction) -> FunctionFacts:
    """Returns the facts about the function of that exact schema and name."""
    row = one_row(cursor, load(__package__, "function.sql"), {"schema": function.schema, "name": function.name})
    names = (field.name for field in dataclasses.fields(FunctionFacts))
    return FunctionFacts(**dict(zip(names, row, strict=True)))


def find_fault(function: DesktopFunction, facts: FunctionFacts) -> str:
    """Returns a sentence that says why the function cannot be called by any role; empty if it can."""
    if not facts.has_schema:
        return f"Function `{function}`: the schema `{function.schema}` does not exist on the desktop."
    if not facts.has_name:
        return f"Function `{function}` does not exist on the desktop."
    if not facts.takes_no_arguments:
        return f"Function `{function}` takes arguments on the desktop."
    if not facts.is_plain:
        return f"`{function}` is not a plain function on the desktop, but a procedure, an aggregate or a trigger's."
    if facts.lacks_columns:
        return f"Function `{function}` returns a record without named columns: declare it with RETURNS TABLE."
    return ""


def missing_grants(function: DesktopFunction, facts: FunctionFacts, role: str) -> tuple[sql.Composed, ...]:
    """Returns the statements that let the role call an existing function; none if it may."""
    grants = []
    if not facts.usage:
        grants.append(
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(function.schema), sql.Identifier(role))
        )
    if not facts.execute:
        grants.append(
            sql.SQL("GRANT EXECUTE ON FUNCTION {}() TO {}").format(
                sql.Identifier(function.schema, function.name), sql.Identifier(role)
            )
        )
    return tuple(grants)
