"""The n-gram rule as published, one request and one position at a time: what the guards must equal.

(`NoRepeatNGramLogitsProcessor` of DeepSeek-OCR, and the class of that name in vLLM.)
"""

from __future__ import annotations

from collections.abc import Sequence

from ocrd.engine.deepseek.ngram import NgramRule


def banned_tokens(answer: Sequence[int], rule: NgramRule) -> set[int]:
    """Which tokens may not follow this answer."""
    if len(answer) < rule.ngram:
        return set()
    ending = list(answer[-(rule.ngram - 1) :])
    first = max(0, len(answer) - rule.window)
    return {
        answer[start + rule.ngram - 1]
        for start in range(first, len(answer) - rule.ngram + 1)
        if list(answer[start : start + rule.ngram - 1]) == ending
    } - rule.allowed
