"""Finds the tables whose catalogs a run needs, so that it does not read those of all tables."""

from collections.abc import Mapping, Sequence

from powerca_sync.engine.mapping.table_pair import TablePair
from powerca_sync.engine.postgres import Table, schema_and_name
from powerca_sync.specs import TableSpec, spec_named


def tables_needed(spec: TableSpec, specs: Sequence[TableSpec]) -> tuple[str, ...]:
    """Returns the mobile names of the tables whose catalogs are needed to resolve and sync `spec`, itself first.

    Complete only if the declared column determines the office of each table; see `needs_all_catalogs`.
    """
    by_name = {one.mobile: one for one in specs}
    direct = [one.parent for one in spec.references if not one.order_only or one.column == spec.made_by]
    direct += [one.table for one in spec.lookups]
    found = dict.fromkeys(one.mobile for one in specs if one.defines_offices)
    waiting = [spec.mobile, *direct]
    while waiting:
        name = waiting.pop()
        if name in by_name and (name not in found or by_name[name].defines_offices):
            found[name] = None
            waiting += [one.parent for one in by_name[name].references if one.column == by_name[name].office]
    return (spec.mobile, *(name for name in found if name != spec.mobile))


def needs_all_catalogs(
    names: Sequence[str], specs: Sequence[TableSpec], *, sources: Mapping[str, Table], targets: Mapping[str, Table]
) -> bool:
    """Whether resolving the tables of these mobile names needs the catalogs of all tables.

    True if the declared column of one of them does not determine its office, because any chain of references may do so,
    and if a foreign key of the first leads to another table of the specs, which its references do not name.
    """
    unread = {schema_and_name(spec.mobile) for spec in specs if spec.mobile not in targets}
    if names[0] in targets and any(key.parent in unread for key in targets[names[0]].references):
        return True
    for name in names:
        spec = spec_named(specs, name)
        source, target = sources.get(spec.desktop), targets.get(name)
        if source is None or target is None or spec.defines_offices or spec.office is None:
            continue
        if TablePair(spec, source, target).missing(spec.office):
            return True
        parents = [(targets.get(one.parent), one.names) for one in spec.references if one.column == spec.office]
        if any(parent is None or not parent.is_unique([column]) for parent, column in parents):
            return True
    return False
