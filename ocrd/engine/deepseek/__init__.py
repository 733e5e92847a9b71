"""What DeepSeek-OCR and DeepSeek-OCR-2 need inside vLLM.

`tiling` and `ngram` are plain arithmetic for everyone; `views` needs numpy.  The
other modules are loaded by vLLM itself, in its own processes: `model` through the entry point in
`plugin`, `guard` by its name among the engine's logits processors.
"""
