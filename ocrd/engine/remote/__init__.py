"""Pages go over HTTP to vLLM servers, or to others with OpenAI's interface and a vision model.

`settings` needs no HTTP client; `engine` does.
"""
