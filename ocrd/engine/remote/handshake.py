"""Asks a server what it can do, before its first page.  No question here can kill it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ocrd.engine.models import ModelProfile
from ocrd.engine.remote.http import UNTRUSTED, Connection, MisfitError, message, tiny, trouble
from ocrd.modes import RESOLUTIONS

PLUGIN_SAYS = "must be an integer"
PLAINLY = "no ocrd plugin there: it sees every page at 1024 with up to 6 tiles of 640"
AS_STARTED = "started without --trust-request-mm-kwargs: it sees every page as it was started"
NAMELESS = re.compile(r"[^a-z0-9]+")
FIT = "`ocrd engine serve-command` prints what starts one that fits."


@dataclass(frozen=True, kw_only=True, slots=True)
class Abilities:
    """What a server can do, by its own answers.

    Attributes:
        model: The model's name on the server.
        vllm: Whether it is vLLM, and accepts fields that only vLLM knows.
        views: Whether each page can have its own resolution.
        guard: Whether this package's n-gram guard runs there.
        context: Most tokens of a page, prompt and answer together; None if it does not say.
        never_banned: Ids of the tokens that the guard lets repeat.
        lacks: What the server lacks, in phrases without a full stop.
    """

    model: str
    vllm: bool = False
    views: bool = False
    guard: bool = False
    context: int | None = None
    never_banned: tuple[int, ...] = ()
    lacks: tuple[str, ...] = ()


async def _served(http: Connection, wanted: str) -> dict[str, Any]:
    """The entry of the wanted model among those that are served."""
    status, body = await http.request("/v1/models")
    if status != 200:
        raise trouble(status, body)
    try:
        entries = [dict(entry, id=str(entry["id"])) for entry in json.loads(body)["data"]]
    except (ValueError, LookupError, TypeError):
        raise MisfitError("is no OpenAI server", f"Correct engine.servers. {FIT}") from None
    for same in (str.__eq__, _same_end):
        for entry in entries:
            if any(same(wanted, str(entry.get(key) or "")) for key in ("id", "root")):
                return entry
    names = ", ".join(entry["id"] for entry in entries) or "nothing"
    hint = f"Set engine.model to what it serves, or start it with {wanted}."
    raise MisfitError(f"serves {names}, not {wanted}", hint)


async def abilities(http: Connection, wanted: str, profile: ModelProfile) -> Abilities:
    """The server's abilities with the wanted model.

    Raises:
        ServerError: The server cannot serve it, or not now.
    """
    entry = await _served(http, wanted)
    model = str(entry["id"])
    vllm, lacks = entry.get("owned_by") == "vllm", list[str]()
    context = entry.get("max_model_len")
    views, why = await _views(http, model, profile)
    lacks += why
    guard = False
    if profile.guarded and vllm:
        wrong = {"vllm_xargs": {"ngram_size": 0, "window_size": 0}}
        guard = (await http.ask(model, "?", **wrong))[0] == 400
    if profile.guarded and not guard:
        lacks.append("no n-gram guard: answers that go in circles are only cut off")
    if profile.tokens and not vllm:
        lacks.append("not vLLM: boxes are missing where it leaves out special tokens")
    ids = await _special_tokens(http, model, profile) if vllm else {}
    return Abilities(
        model=model,
        vllm=vllm,
        views=views,
        guard=guard,
        context=context if type(context) is int else None,
        never_banned=tuple(ids[one] for one in profile.never_banned if one in ids),
        lacks=tuple(lacks),
    )


async def _views(http: Connection, model: str, profile: ModelProfile) -> tuple[bool, list[str]]:
    """Whether pages can have their own resolution, and if not, why not.

    The question has a side that is not a number: how a server answers it shows what it can do.
    """
    if not profile.processor_kwargs(RESOLUTIONS["gundam"]):
        return False, []
    told = {"mm_processor_kwargs": {"base_size": "ocrd?"}}
    status, body = await http.ask(model, "?", tiny(), "bmp", **told)
    if status == 400 and PLUGIN_SAYS in message(body):
        return True, []
    if status >= 500 or status in (401, 403):
        raise trouble(status, body)
    if UNTRUSTED in message(body):
        return False, [AS_STARTED]
    return False, [PLAINLY]


async def _special_tokens(http: Connection, model: str, profile: ModelProfile) -> dict[str, int]:
    """Ids of the model's special tokens; empty if the server does not say.

    Raises:
        MisfitError: One is not a single token there: the tokenizer is another model's.
    """
    ids = {}
    for token in dict.fromkeys((*profile.tokens, *profile.never_banned)):
        found = await http.tokenize(model, token, add_special_tokens=False)
        if found is None:
            return {}
        if len(found) != 1:
            hint = "Download the whole model again there, or correct engine.profile."
            raise MisfitError(f"takes {token} for {len(found)} tokens", hint)
        ids[token] = found[0]
    return ids


def _same_end(wanted: str, found: str) -> bool:
    """Whether names mean one model, as `deepseek-ai/DeepSeek-OCR` and `/models/deepseek_ocr` do."""
    one, other = (
        NAMELESS.sub("", name.rstrip("/").rsplit("/", 1)[-1].lower()) for name in (wanted, found)
    )
    return bool(one) and one == other
