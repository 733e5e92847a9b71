"""No error of ocrd is told as a defect of the program: each says what a client can do about it."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ocrd import errors as known
from ocrd.errors import OcrdError
from ocrd.web import errors

STATUS = {
    (known.OcrdError, "error"): 503,
    (known.ConfigError, "config"): 503,
    (known.UsageError, "usage"): 422,
    (known.BadFileError, "damaged"): 422,
    (known.SourceChangedError, "source-changed"): 409,
    (known.PlaceError, "place"): 503,
    (known.PlaceError, "disk-full"): 507,
    (known.PlaceError, "quota"): 507,
    (known.PageError, "page"): 422,
    (known.PageFaultError, "killed"): 503,
    (known.EngineDownError, "no-memory"): 503,
    (known.EngineSetupError, "engine-setup"): 503,
    (known.MemoryShortError, "memory-short"): 503,
    (known.LedgerError, "ledger"): 503,
    (known.FencedError, "fenced"): 409,
    (errors.RefusedError, "gone"): 410,
    (errors.MissingError, "not-found"): 404,
}  # fmt: skip


def every(kind: type[OcrdError]) -> set[type[OcrdError]]:
    return {kind}.union(*map(every, kind.__subclasses__()))


def test_every_error_is_in_the_table() -> None:
    ours = {
        kind for kind in every(OcrdError) if kind.__module__ in (known.__name__, errors.__name__)
    }
    assert {kind for kind, _ in STATUS} == ours


@pytest.mark.parametrize(("raised", "status"), STATUS.items())
def test_an_error_has_its_status_and_says_when_to_try_again(
    raised: tuple[type[OcrdError], str], status: int
) -> None:
    app, (kind, word) = FastAPI(), raised
    errors.install(app, lambda *_: None)

    @app.get("/api")
    def broken() -> None:
        if kind is errors.RefusedError:
            raise errors.RefusedError(410, "why", hint="what to do")
        if kind is errors.MissingError:
            raise errors.MissingError("why", hint="what to do")
        raise kind("why", hint="what to do", kind=word)

    answer = TestClient(app, raise_server_exceptions=False).get("/api")
    assert answer.status_code == status
    assert answer.json()["error"] == {"kind": word, "message": "why", "hint": "what to do"}
    assert ("retry-after" in answer.headers) == (status == 503)
