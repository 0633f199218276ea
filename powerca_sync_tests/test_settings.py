"""Settings: the guide's variables and defaults; all missing variables are named at once."""

from pathlib import Path

import pytest

from powerca_sync.errors import ConfigurationError
from powerca_sync.settings import (
    REQUIRED,
    DesktopFunction,
    DesktopFunctions,
    Endpoint,
    Limits,
    Settings,
    read_desktop_relations,
)

LEAST = {"LOCAL_DB_PASSWORD": "one", "SUPABASE_DB_HOST": "db.example.supabase.co", "SUPABASE_DB_PASSWORD": "two"}


def test_defaults_are_those_of_the_guide() -> None:
    settings = Settings.from_env(LEAST, env_file=None)
    assert settings == Settings(
        desktop=Endpoint(
            side="desktop", host="localhost", port=5433, name="enterprise_db", user="postgres", password="one"
        ),
        mobile=Endpoint(
            side="mobile", host="db.example.supabase.co", port=5432, name="postgres", user="postgres", password="two"
        ),
    )


def test_every_variable_is_read() -> None:
    values = {
        **{f"LOCAL_DB_{name}": f"local {name}" for name in ("HOST", "NAME", "USER", "SSLMODE", "SSLROOTCERT")},
        **{f"SUPABASE_DB_{name}": f"cloud {name}" for name in ("NAME", "USER", "SSLMODE", "SSLROOTCERT")},
        **{"LOCAL_DB_PORT": "1", "SUPABASE_DB_PORT": "65535", "LOCAL_DB_TIMEZONE": "Asia/Kolkata"},
        **{"LOCAL_DB_ENCODING": "WIN1252"},
    }
    settings = Settings.from_env(LEAST | values, env_file=None)
    assert (settings.timezone, settings.encoding) == ("Asia/Kolkata", "WIN1252")
    assert (settings.desktop.port, settings.mobile.port) == (1, 65535)
    for endpoint, word in ((settings.desktop, "local"), (settings.mobile, "cloud")):
        assert endpoint.name == f"{word} NAME"
        assert endpoint.user == f"{word} USER"
        assert (endpoint.sslmode, endpoint.sslrootcert) == (f"{word} SSLMODE", f"{word} SSLROOTCERT")


def test_all_missing_variables_are_named_and_the_demo_mentioned() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({}, env_file=None)
    assert all(name in str(caught.value) for name in REQUIRED)
    assert "`powerca-sync demo`" in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"^Not configured: SUPABASE_DB_HOST. "):
        # An empty variable is a missing one.
        Settings.from_env(LEAST | {"SUPABASE_DB_HOST": ""}, env_file=None)


def test_environment_takes_precedence_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("LOCAL_DB_PASSWORD='from file'\nLOCAL_DB_USER=clerk\nLOCAL_DB_NAME=\n", encoding="utf-8")
    settings = Settings.from_env(LEAST | {"LOCAL_DB_USER": ""}, env_file=file)
    assert (settings.desktop.password, settings.desktop.user) == ("one", "clerk")
    assert settings.desktop.name == "enterprise_db"


def test_file_of_a_windows_editor_is_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    lines = (*(f"{name}={value}" for name, value in LEAST.items()), r"SUPABASE_DB_SSLROOTCERT=C:\powerca\certs\new.crt")
    # With a byte order mark and CRLF.
    file.write_bytes("".join(f"{line}\r\n" for line in lines).encode("utf-8-sig"))
    settings = Settings.from_env({}, env_file=file)
    assert (settings.desktop.password, settings.mobile.password) == ("one", "two")
    assert settings.mobile.sslrootcert == r"C:\powerca\certs\new.crt"


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "5432.0", " 5432"])
def test_invalid_port_names_the_variable(port: str) -> None:
    with pytest.raises(ConfigurationError, match=f"LOCAL_DB_PORT is `{port}`, which is not a port number"):
        Settings.from_env(LEAST | {"LOCAL_DB_PORT": port}, env_file=None)


def test_password_is_not_in_the_repr() -> None:
    settings = Settings.from_env(
        LEAST | {"LOCAL_DB_PASSWORD": "s3cret", "SUPABASE_DB_PASSWORD": "s3cret"}, env_file=None
    )
    assert "s3cret" not in f"{settings!r} {settings} {settings.desktop} {settings.mobile!r}"
    assert str(settings.mobile) == "db.example.supabase.co:5432/postgres"


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("localhost", "prefer"),
        ("127.0.0.1", "prefer"),
        ("::1", "prefer"),
        ("/var/run/postgresql", "prefer"),
        ("@abstract", "prefer"),
        ("192.168.1.5", "verify-full"),
        ("localhost.example.com", "verify-full"),
        ("", "verify-full"),
    ],
)
def test_remote_connections_are_encrypted_and_verified_by_default(host: str, mode: str) -> None:
    endpoint = Endpoint(side="mobile", host=host, port=5432, name="postgres", user="postgres")
    assert endpoint.effective_sslmode == mode
    named = Endpoint(side="mobile", host=host, port=5432, name="postgres", user="postgres", sslmode="require")
    assert named.effective_sslmode == "require"


def test_limits_come_from_the_specs_unless_set() -> None:
    assert Settings.from_env(LEAST, env_file=None).limits == Limits()
    values = {
        **{"POWERCA_MASS_DELETE_SHARE": "0.5", "POWERCA_MASS_DELETE_ROWS": "0"},
        **{"POWERCA_QUARANTINE_SHARE": "1", "POWERCA_QUARANTINE_ROWS": "1000"},
    }
    limits = Limits(mass_delete_share=0.5, mass_delete_rows=0, quarantine_share=1, quarantine_rows=1000)
    assert Settings.from_env(LEAST | values, env_file=None).limits == limits
    assert Limits.from_env(values, env_file=None) == limits, "the demo has no other settings"


def test_functions_on_the_desktop_are_optional() -> None:
    assert DesktopFunctions.from_env({}, env_file=None) == DesktopFunctions()
    values = {"POWERCA_BEFORE_FORWARD": "Sync.refresh_all", "POWERCA_BEFORE_FORWARD_TIMEOUT": "60"}
    functions = DesktopFunctions.from_env(values | {"POWERCA_AFTER_REVERSE": "a.b$1"}, env_file=None)
    assert functions.before_forward == DesktopFunction(schema="Sync", name="refresh_all", timeout=60)
    assert functions.after_reverse == DesktopFunction(schema="a", name="b$1", timeout=300)


@pytest.mark.parametrize("variable", ["POWERCA_BEFORE_FORWARD", "POWERCA_AFTER_REVERSE"])
@pytest.mark.parametrize(
    "text",
    [
        "a.b(); drop",
        "refresh",
        "a.b()",
        'a."b"',
        "a.b.c",
        "a.b; SELECT 1",
        "a.b--",
        "a.b\n",
        "1.b",
        " a.b",
        "a.",
        "a." + 64 * "b",
    ],
)
def test_anything_but_a_qualified_name_is_no_function(variable: str, text: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"^{variable} is `(.|\n)+`, which is not the name of a function\. Use `schema"
    ):
        DesktopFunctions.from_env({variable: text}, env_file=None)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon", "1201", "99999999999"])
def test_invalid_timeout_names_the_variable(text: str) -> None:
    name = "POWERCA_AFTER_REVERSE_TIMEOUT"
    with pytest.raises(
        ConfigurationError, match=rf"{name} is `{text}`, which is not a number of seconds\. .* 1 to 1200"
    ):
        DesktopFunctions.from_env({name: text}, env_file=None)


def test_desktop_relations_are_named_by_mobile_table() -> None:
    assert read_desktop_relations({}, env_file=None) == {}
    values = {"POWERCA_DESKTOP_RELATIONS": "climaster=sync.v_climaster, jobshead=v_jobshead\tapp.notes=n"}
    assert read_desktop_relations(values, env_file=None) == {
        "climaster": "sync.v_climaster",
        "jobshead": "v_jobshead",
        "app.notes": "n",
    }


@pytest.mark.parametrize("text", ["climaster", "climaster=", "=v", "a=b.c.d", "a=b()", "a=b a=c", 'a="b"'])
def test_invalid_desktop_relation_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"POWERCA_DESKTOP_RELATIONS has `.+`\. Write each table once"):
        read_desktop_relations({"POWERCA_DESKTOP_RELATIONS": text}, env_file=None)


@pytest.mark.parametrize("name", ["POWERCA_MASS_DELETE_SHARE", "POWERCA_QUARANTINE_SHARE"])
@pytest.mark.parametrize("text", ["5", "1.01", "-0.1", "5%", "nan", "0,05", "1e-2", " 0.1"])
def test_invalid_share_names_the_variable(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is `{text}`, which is not a share\. .* 0\.05 is 5 %"):
        Settings.from_env(LEAST | {name: text}, env_file=None)


@pytest.mark.parametrize("name", ["POWERCA_MASS_DELETE_ROWS", "POWERCA_QUARANTINE_ROWS"])
@pytest.mark.parametrize("text", ["-1", "1.5", "many", "0x10"])
def test_invalid_row_count_names_the_variable(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is `{text}`, which is not a number of rows"):
        Settings.from_env(LEAST | {name: text}, env_file=None)
