"""Refused logins are classed by SQLSTATE, in any language; TLS errors by the fault of the certificate."""

import dataclasses

import pytest

from powerca_sync.engine.postgres.database import connect
from powerca_sync.errors import ConfigurationError, DatabaseUnavailableError, SyncError
from powerca_sync.settings import Endpoint
from powerca_sync_tests.engine.listeners import CERTIFICATES, present_certificate, refuse_logins


def failure(endpoint: Endpoint) -> SyncError:
    with pytest.raises(SyncError) as caught:
        connect(endpoint)
    assert "correct horse" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("state", "words", "kind", "advice"),
    [
        ("28P01", "Passwort-Authentifizierung für Benutzer »office« fehlgeschlagen", ConfigurationError, "password"),
        ("28P01", "authentification par mot de passe échouée", ConfigurationError, "Check user and password"),
        ("28000", "kein pg_hba.conf-Eintrag für Host", ConfigurationError, "pg_hba.conf allows logins"),
        ("28000", "connection requires a valid client certificate", ConfigurationError, "postgresql.crt"),
        ("3D000", "Datenbank »nowhere« existiert nicht", ConfigurationError, "Check the database name"),
        ("42501", "keine Berechtigung für Datenbank", ConfigurationError, "Grant the missing right"),
        ("53300", "trop de connexions pour le rôle", DatabaseUnavailableError, "no connection left"),
        ("57P03", "das Datenbanksystem startet", DatabaseUnavailableError, "starting or shutting down"),
        # Misleading words.
        ("57P03", "password authentication failed", DatabaseUnavailableError, "starting or shutting down"),
        ("28P01", "too many connections", ConfigurationError, "Check user and password"),
    ],
)
@pytest.mark.parametrize("severity", ["FATAL", "致命错误", "KATASTROFALNY"])
def test_refusal_is_sorted_by_its_sqlstate(
    state: str, words: str, kind: type[SyncError], advice: str, severity: str
) -> None:
    with refuse_logins(state=state, words=words, severity=severity) as (endpoint, _):
        error = failure(endpoint)
    assert type(error) is kind
    assert f"failed: {words}. " in str(error)
    assert advice in str(error)


@pytest.mark.parametrize(
    ("state", "words", "kind", "advice"),
    [
        (
            "XX000",
            "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
            ConfigurationError,
            "wait ten minutes",
        ),
        ("XX000", "Circuit breaker open", ConfigurationError, "After too many wrong passwords"),
        ("XX000", "Tenant or user not found", ConfigurationError, "Copy host and user"),
        ("XX000", "(ENOTFOUND) tenant/user postgres.abc not found", ConfigurationError, "Copy host and user"),
        ("XX000", "(EAUTHQUERY) user not found in the database", ConfigurationError, "Copy host and user"),
        ("XX000", "(EAUTHQUERY) auth_query secret check timed out", DatabaseUnavailableError, "the run is retried"),
        (
            "XX000",
            "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
            DatabaseUnavailableError,
            "no connection left",
        ),
        ("XX000", "MaxClientsInSessionMode: max clients reached", DatabaseUnavailableError, "no connection left"),
        ("08P01", "SASL authentication failed", ConfigurationError, "Check user and password"),
        ("08P01", "no such database: nowhere", ConfigurationError, "Check the database name"),
        ("08P01", "no more connections allowed (max_client_conn)", DatabaseUnavailableError, "no connection left"),
        ("08P01", "server login has been failing", DatabaseUnavailableError, "the run is retried"),
    ],
)
def test_pooler_refusal_is_sorted_by_its_words(state: str, words: str, kind: type[SyncError], advice: str) -> None:
    with refuse_logins(state=state, words=words) as (endpoint, _):
        error = failure(endpoint)
    assert type(error) is kind
    assert advice in str(error)


def test_refused_login_is_not_repeated_at_other_addresses() -> None:
    with refuse_logins(state="28P01", words="no") as (endpoint, logins):
        # The name of a pooler has several addresses.
        port = endpoint.port
        failure(dataclasses.replace(endpoint, host="127.0.0.1,127.0.0.1,127.0.0.1"))
        assert (endpoint.port, len(logins)) == (port, 1)


@pytest.mark.parametrize(
    ("certificate", "changes", "advice"),
    [
        ("expired", {}, "has expired, or is not valid yet"),
        ("other_host", {}, "is for another host name. Set `..._HOST`"),
        ("good", {"sslrootcert": str(CERTIFICATES / "other_authority.crt")}, "issued by an authority that is not in"),
        ("good", {"sslrootcert": "nowhere.crt"}, "Name the certificate authority's file"),
        ("good", {"sslrootcert": "system"}, "issued by an authority that is not in"),
        ("expired", {"sslmode": "verify-ca"}, "has expired, or is not valid yet"),
        (None, {}, "offers no encryption"),
        (None, {"sslmode": "require"}, "offers no encryption"),
    ],
)
def test_tls_advice_fits_the_fault(certificate: str | None, changes: dict[str, str], advice: str) -> None:
    with present_certificate(certificate) as endpoint:
        error = failure(dataclasses.replace(endpoint, **changes))  # type: ignore[arg-type]
    assert type(error) is ConfigurationError
    assert advice in str(error)


@pytest.mark.parametrize(
    ("certificate", "changes"), [("good", {}), ("expired", {"sslmode": "require", "sslrootcert": ""})]
)
def test_disconnect_after_a_good_handshake_is_unavailable(certificate: str, changes: dict[str, str]) -> None:
    with present_certificate(certificate) as endpoint:
        error = failure(dataclasses.replace(endpoint, **changes))  # type: ignore[arg-type]
    assert type(error) is DatabaseUnavailableError


def test_invalid_option_is_a_configuration_error() -> None:
    with refuse_logins(state="57P03", words="never asked") as (endpoint, logins):
        error = failure(dataclasses.replace(endpoint, sslmode="sometimes"))
    assert type(error) is ConfigurationError
    assert not logins
