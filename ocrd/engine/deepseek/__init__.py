"""What DeepSeek-OCR and DeepSeek-OCR-2 need inside vLLM.

`tiling` and `guard` are plain arithmetic and import neither vLLM nor torch; the other modules are
loaded by vLLM itself, in its own processes, through the entry point in `plugin`.
"""
