"""The desktop's table that takes the phone rows of a spec whose `desktop` is another relation, such as a view."""

import dataclasses
from collections.abc import Sequence

from powerca_sync.engine.postgres import PARTITIONED, PLAIN, Cursor, read_tables
from powerca_sync.specs import TableSpec


def into_phone_table(spec: TableSpec, specs: Sequence[TableSpec]) -> tuple[TableSpec, tuple[TableSpec, ...]]:
    """Returns the spec, and the set with it, in which `desktop` is the table that takes its phone rows.

    The other specs keep their relation: organisations are read from where the forward sync reads them.
    """
    if not spec.reverse_into:
        return spec, tuple(specs)
    back = dataclasses.replace(spec, desktop=spec.phone_table, reverse_into="")
    return back, tuple(back if one.mobile == spec.mobile else one for one in specs)


def why_off(desktop: Cursor, spec: TableSpec) -> str:
    """Returns why a table that is read from another relation takes no phone rows; empty if it does."""
    if not spec.reverse_into:
        return ""
    table = read_tables(desktop, [spec.phone_table]).get(spec.phone_table)
    if table is not None and table.kind in (PLAIN, PARTITIONED):
        return ""
    return (
        f"phone rows are not reverse-synced, because the desktop's rows are read from `{spec.desktop}` and the desktop "
        f"has no table `{spec.phone_table}` that could take them"
    )
