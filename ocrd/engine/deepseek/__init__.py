"""What DeepSeek-OCR and DeepSeek-OCR-2 need inside vLLM.

`tiling` and `ngram` are plain arithmetic and `grounding` parses text; `views` needs numpy and
Pillow.  vLLM itself loads the other modules, in its own processes: `model` through the entry point
in `plugin`, `guard` by its name among the engine's logits processors.
"""
