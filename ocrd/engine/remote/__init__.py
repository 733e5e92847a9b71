"""Sends pages over HTTP to vLLM, or to other servers with OpenAI's interface and a vision model.

`settings` works without an HTTP client installed; `engine` does not.
"""
