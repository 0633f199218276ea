"""The sections of `docs/reference.md` that are generated from the code, and how they are put into the document."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import dagster as dg

from powerca_sync.cli import main
from powerca_sync.defs import build_definitions
from powerca_sync.defs.load_factory import LoadFactory
from powerca_sync.defs.metadata import COUNTS, PULL_COUNTS
from powerca_sync.defs.resources import PullMode, SyncMode
from powerca_sync.engine import result
from powerca_sync.specs import Expression, Lookup, Reference, TableSpec
from powerca_sync.tables import TABLES

PROJECT: Final = Path(__file__).parents[1]
ENVIRONMENT: Final = PROJECT / ".env.example"


def with_generated_sections(document: str) -> str:
    """Returns the document with every generated section as the code has it now."""
    for name, generate in SECTIONS.items():
        begin, end = f"<!-- generated: {name} -->", "<!-- /generated -->"
        before, found, rest = document.partition(begin)
        if not found:
            raise ValueError(f"The document lacks the line `{begin}`.")
        document = before + begin + "\n\n" + generate().strip() + "\n\n" + end + rest.partition(end)[2]
    return document


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _commands() -> str:
    """One heading for each command: its help, its arguments and its options."""
    parts = []
    for name, command in sorted(main.commands.items()):
        arguments = [one for one in command.params if isinstance(one, click.Argument)]
        usage = " ".join([f"powerca-sync {name}", *(_choices(one) for one in arguments)])
        parts.append(f"### `{usage}`\n\n{(command.help or '').strip()}")
        options = [one for one in command.params if isinstance(one, click.Option)]
        if options:
            parts.append(_table(("option", "meaning"), ((_option(one), one.help or "") for one in options)))
    return "\n\n".join(parts)


def _choices(argument: click.Argument) -> str:
    kind = argument.type
    return f"[{'|'.join(kind.choices)}]" if isinstance(kind, click.Choice) else argument.name.upper()


def _option(option: click.Option) -> str:
    name = ", ".join(sorted(option.opts, key=len))
    if option.is_flag:
        return f"`{name}`"
    kind = "|".join(map(str, option.type.choices)) if isinstance(option.type, click.Choice) else ""
    text = f"`{name} {kind or option.metavar or option.type.name.upper().split()[0]}`"
    return text + (f" (default `{option.default}`)" if option.show_default else "")


def settings_in_example() -> dict[str, tuple[str, str]]:
    """Returns each setting of `.env.example` with its shown value and the comment above it."""
    found: dict[str, tuple[str, str]] = {}
    comment: list[str] = []
    fresh = True
    for line in ENVIRONMENT.read_text(encoding="utf-8").splitlines():
        if setting := re.fullmatch(r"#?([A-Z][A-Z_]+)=(.*)", line):
            found[setting[1]] = (setting[2], " ".join(comment))
            fresh = True
        elif line.startswith("# ") and not line.startswith("# ----"):
            comment = [] if fresh else comment
            comment.append(line[2:].strip())
            fresh = False
        elif not line:
            fresh = True
            comment = []
    return found


def _settings() -> str:
    rows = []
    above = ""
    for name, (value, text) in settings_in_example().items():
        rows.append((f"`{name}`", f"`{value}`" if value else "", "(as above)" if text == above else text))
        above = text
    return _table(("setting", "value in `.env.example`", "meaning"), rows)


def _fields(kind: type[Any]) -> str:
    """The fields of a dataclass with default and `#:` comment."""
    comments = field_comments(kind)
    rows = []
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            default = f"`{_plain(field.default)}`"
        elif field.default_factory is not dataclasses.MISSING:
            default = "empty"
        else:
            default = "required"
        rows.append((f"`{field.name}`", default, comments.get(field.name, "")))
    return _table(("field", "default", "meaning"), rows)


def _plain(value: object) -> str:
    return repr(str(value)) if isinstance(value, str) else repr(value)


def field_comments(kind: type[Any]) -> Mapping[str, str]:
    """Returns the `#:` comment above each field, read from the source."""
    comments: dict[str, str] = {}
    comment: list[str] = []
    for line in inspect.getsource(kind).splitlines():
        if line.startswith("    #: "):
            comment.append(line[7:])
        elif line.startswith("    # ") and comment:
            comment.append(line[6:])
        elif field := re.match(r"    (\w+): ", line):
            comments[field[1]] = " ".join(comment)
            comment = []
        else:
            comment = []
    return comments


def _specs() -> str:
    parts = [_fields(TableSpec)]
    for kind in (Reference, Lookup, Expression):
        summary = (kind.__doc__ or "").strip().splitlines()[0]
        parts.append(f"`{kind.__name__}`: {summary}\n\n{_fields(kind)}")
    return "\n\n".join(parts)


def _tables() -> str:
    return _table(
        ("mobile", "desktop", "contents", "strategy", "key", "reverse", "needs rows of", "comes after"),
        (
            (
                f"`{spec.mobile}`",
                f"`{spec.desktop}`",
                spec.description,
                spec.strategy.value,
                ", ".join(spec.key),
                {True: "yes", False: "no"}.get(spec.reverse, "by hand"),  # type: ignore[call-overload]
                _parents(spec, order_only=False),
                _parents(spec, order_only=True),
            )
            for spec in TABLES
        ),
    )


def _parents(spec: TableSpec, *, order_only: bool) -> str:
    names = [one.parent for one in spec.references if one.order_only is order_only]
    names += [] if order_only else [lookup.table for lookup in spec.lookups]
    return ", ".join(dict.fromkeys(names))


def repository() -> dg.RepositoryDefinition:
    """Returns the definitions of the declared tables."""
    return build_definitions(TABLES).get_repository_def()


def check_descriptions() -> dict[tuple[str, str], str]:
    """Returns the description of each check, by the kind of its asset and its name."""
    found: dict[tuple[str, str], str] = {}
    graph = repository().asset_graph
    for key in sorted(graph.asset_check_keys, key=lambda key: key.name):
        kind = {"reverse": "reverse tables", "status_report": "status_report"}.get(
            key.asset_key.path[0], "mobile tables"
        )
        found.setdefault((kind, key.name), graph.get_check_spec(key).description or "")
    return found


def _checks() -> str:
    at_night = {key.name for key in repository().get_job("checks").asset_layer.asset_graph.asset_check_keys}
    return _table(
        ("check", "of", "evaluated", "passes if"),
        (
            (f"`{name}`", kind, "by the job `checks`" if name in at_night else "in each run", text)
            for (kind, name), text in sorted(check_descriptions().items())
        ),
    )


def _automation() -> str:
    found = repository()
    rows = [(f"`{job.name}`", "job", _sentence(job.description)) for job in found.get_all_jobs() if job.name[0] != "_"]
    rows += [(f"`{one.name}`", "schedule", _sentence(one.description)) for one in found.schedule_defs]
    rows += [(f"`{one.name}`", "sensor", _sentence(one.description)) for one in found.sensor_defs]
    return _table(("name", "kind", "what it does"), rows)


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _configuration() -> str:
    rows = []
    for resource, kind in (("sync", SyncMode), ("pull", PullMode), ("io_manager", LoadFactory)):
        for name, field in kind.model_fields.items():
            rows.append((f"`{resource}`", f"`{name}`", f"`{field.default}`", _sentence(field.description)))
    return _table(("resource", "option", "default", "meaning"), rows)


#: Figures whose names say what they count, to people who know the words of the field.
PLAIN_FIGURES: Final = {
    "extracted": "Rows read from the desktop.",
    "inserted": "Inserted on mobile.",
    "updated": "Updated on mobile.",
    "unchanged": "Equal on mobile already, not written.",
    "deleted": "Deleted from mobile.",
    "quarantined": "Quarantined, for whatever reason.",
    "conflicting": "Rows whose content differs from that of a phone row of the same key.",
}


def _figures() -> str:
    parts = []
    for title, kind, names in (
        ("Forward runs", result.ForwardResult, COUNTS),
        ("Reverse runs", result.ReverseResult, PULL_COUNTS),
    ):
        comments = field_comments(kind)
        parts.append(f"{title}:")
        parts.append(
            _table(("figure", "meaning"), ((f"`{name}`", comments.get(name) or PLAIN_FIGURES[name]) for name in names))
        )
    return "\n\n".join(parts)


SECTIONS: Final[Mapping[str, Callable[[], str]]] = {
    "commands": _commands,
    "settings": _settings,
    "specs": _specs,
    "tables": _tables,
    "checks": _checks,
    "automation": _automation,
    "configuration": _configuration,
    "figures": _figures,
}
