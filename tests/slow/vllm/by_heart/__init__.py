"""A small DeepSeek-OCR that knows 24 pages by heart, so that the real vLLM gives right answers.

The encoders have their full size and seeded random weights, made on the spot.  What follows them,
the projector and a language model of two layers, was trained by `train.py` and lies beside it.
"""
