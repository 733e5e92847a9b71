"""Pages go over HTTP to vLLM servers, or to others with OpenAI's interface and a vision model.

`settings` needs no HTTP client; `engine` does.
"""

from ocrd.engine.remote.settings import Address, ServerSettings, family

__all__ = ["Address", "ServerSettings", "family"]
