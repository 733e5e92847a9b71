"""`ocrd run --once` with the vLLM engine, and when its files pass which stage.

    python -m bench.gpu_daemon CONFIG TRACE

The same daemon with the same listeners; only the parts handed to it tell what passes through them.
Run by `bench.gpu_parts`; writes what `bench.stages` reads as JSON to TRACE.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench import stages
from bench.passages import PassageDisk, Passages
from bench.pulse import Pulse
from ocrd.allocator import share_arenas
from ocrd.config import Config, load
from ocrd.daemon.daemon import Daemon
from ocrd.daemon.engines import vllm_settings
from ocrd.engine.resident import VllmEngine
from ocrd.errors import ExitCode
from ocrd.observe.sinks import Audience, audience


async def live(config: Config, heard: Audience, trace: Path) -> ExitCode:
    """Work off the inbox, then write down how it went."""
    passages = Passages()
    heard.events.add(passages)
    engine = VllmEngine(vllm_settings(config), events=heard.events, client=passages.core())
    daemon = Daemon(
        config,
        heard.events,
        once=True,
        engine=engine,
        disk=PassageDisk(passages),
        make_pages=passages.make_pages,
        listeners=heard.listeners,
    )
    async with Pulse(passages.look) as pulse:
        code = await daemon.run()
    stages.write(passages, pulse, trace)
    return code


def main() -> None:
    config, trace = load(Path(sys.argv[1])), Path(sys.argv[2])
    share_arenas()
    with audience(config.settings, config.settings.log.level) as heard:
        sys.exit(asyncio.run(live(config, heard, trace)))


if __name__ == "__main__":
    main()
