"""One table of both databases: which of its declared columns exist, and which key both have."""

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Sequence

from powerca_sync.engine.mapping.expressions import unreadable_columns
from powerca_sync.engine.mapping.resolution import LeftOut
from powerca_sync.engine.postgres import Table
from powerca_sync.specs import OWNER, Expression, Strategy, TableSpec

#: Minimum similarity of names for suggesting an existing column.
_SIMILAR = 0.75


@dataclasses.dataclass(frozen=True)
class TablePair:
    """One table of both databases; `source` equals `target` if the desktop is not available."""

    spec: TableSpec
    source: Table
    target: Table

    def travels(self, name: str) -> bool:
        """Whether the desktop's value of a column is copied to mobile."""
        column = self.target.column(name)
        if column is None or self.source.column(name) is None:
            return False
        filled_otherwise = {OWNER, *self.spec.skip, *self.spec.constants}
        return not (column.generated or column.identity == "a" or name in filled_otherwise)

    def missing(self, name: str) -> tuple[str, ...]:
        """Returns the databases that lack a column."""
        sides = (("the desktop", self.source), ("mobile", self.target))
        return tuple(side for side, table in sides if table.column(name) is None)

    def has_on_both(self, names: Iterable[str]) -> bool:
        """Whether both databases have all of these columns."""
        return not any(self.missing(name) for name in names)


def resolve_key(pair: TablePair) -> tuple[tuple[str, ...], str, str]:
    """Returns (key, its origin if it is not the declared one, why no key was found)."""
    spec, target = pair.spec, pair.target
    if spec.strategy is Strategy.DELETE_INSERT:
        key = tuple(name for name in spec.key if not pair.missing(name))
        if key == spec.key:
            return key, "", ""
        return key, "the declared columns that both databases have" if key else "rows are paired by content alone", ""
    if pair.has_on_both(spec.key):
        return spec.key, "", ""
    if target.primary_key and all(pair.travels(name) for name in target.primary_key):
        return target.primary_key, "mobile's primary key", ""
    candidates = [
        unique.columns
        for unique in target.unique_keys
        if unique.columns != target.primary_key and not any(target.required(name).nullable for name in unique.columns)
    ]
    usable = [columns for columns in candidates if all(pair.travels(name) for name in columns)]
    if len(usable) == 1:
        return usable[0], "mobile's unique key", ""
    return (), "", _no_key(pair, candidates, usable)


def _no_key(pair: TablePair, candidates: Sequence[Sequence[str]], usable: Sequence[Sequence[str]]) -> str:
    spec = pair.spec
    lacking = "; ".join(
        f"{' and '.join(sides)} {'lack' if len(sides) > 1 else 'lacks'} `{name}`{_similar(name, pair)}"
        for name in spec.key
        if (sides := pair.missing(name))
    )
    known = [pair.target.primary_key, *candidates] if pair.target.primary_key else candidates
    found = ", ".join(f"({', '.join(columns)})" for columns in known) or "none"
    reason = "several unique keys of mobile would do" if usable else "the desktop lacks columns of each"
    if not known:
        reason = "mobile has none whose columns are NOT NULL"
    return (
        f"Table `{spec.mobile}` has no key that both databases have: the spec names {', '.join(spec.key)} ({lacking}). "
        f"Keys on mobile: {found}; {reason}. Set `key` in the table's spec to columns that both databases have."
    )


def _similar(name: str, pair: TablePair) -> str:
    nearest = _nearest(name, pair, mentioned={name})
    return f" but has `{nearest}`" if nearest else ""


def _nearest(name: str, pair: TablePair, *, mentioned: Collection[str]) -> str:
    """Returns an existing column of a similar name, ignoring case, that is not `mentioned`; otherwise empty."""
    names = {column.name for table in (pair.source, pair.target) for column in table.columns}
    by_case = {existing.casefold(): existing for existing in sorted(names.difference(mentioned))}
    found = difflib.get_close_matches(name.casefold(), by_case, n=1, cutoff=_SIMILAR)
    return by_case[found[0]] if found else ""


def why_unused(expression: Expression, pair: TablePair) -> str:
    """Returns why the expression is not used; empty if it is."""
    source, target = pair.source.column(expression.column), pair.target.column(expression.column)
    if source is None or target is None:
        return "a database lacks the column"
    if source.type == target.type:
        return "both databases have the same type"
    if lacking := unreadable_columns(expression.forward, pair.source):
        return f"the desktop lacks {', '.join(lacking)}"
    return ""


def left_out_columns(pair: TablePair, used: TableSpec) -> tuple[LeftOut, ...]:
    """Returns the columns that the declared spec names and the resolved one does not."""
    spec = pair.spec
    named: dict[str, list[str]] = {}

    def add(role: str, names: Iterable[str]) -> None:
        for name in names:
            if pair.missing(name):
                named.setdefault(name, []).append(role)

    add("key", (name for name in spec.key if name not in used.key))
    looked_up = {one.column for one in used.lookups}
    for reference in spec.references:
        if reference.column not in looked_up:
            add("order" if reference.order_only else "references", [reference.column])
    add("lookups", (name for one in spec.lookups if one not in used.lookups for name in (one.column, one.match)))
    add("expressions", (one.column for one in spec.expressions if one not in used.expressions))
    add("constants", (name for name in spec.constants if name not in used.constants))
    add("mobile_owned", (name for name in spec.mobile_owned if name not in used.mobile_owned))
    add("sensitive", (name for name in spec.sensitive if name not in used.sensitive))
    if not spec.defines_offices and spec.office is not None:
        add("office", [spec.office])
    if spec.made_by is not None and used.made_by is None:
        add("made_by", [spec.made_by])
    mentioned = {*named, *spec.key, *spec.skip, *(one.column for one in spec.references)}
    return tuple(
        LeftOut(
            column=name,
            roles=tuple(dict.fromkeys(roles)),
            missing=pair.missing(name),
            nearest=_nearest(name, pair, mentioned=mentioned),
        )
        for name, roles in named.items()
    )
