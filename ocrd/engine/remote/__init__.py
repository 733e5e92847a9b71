"""Pages go over HTTP to vLLM servers, or to others with OpenAI's interface and a vision model."""

from ocrd.engine.remote.engine import ServerEngine
from ocrd.engine.remote.settings import Address, ServerSettings, family

__all__ = ["Address", "ServerEngine", "ServerSettings", "family"]
