"""Damage to files, the same for the same seed: what disks, networks and attackers do to them."""

import random
from collections.abc import Sequence

_EXTREMES = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x01",
)


def mutated(content: bytes, others: Sequence[bytes], seed: str) -> bytes:
    """The content with one to four kinds of damage."""
    dice = random.Random(seed)
    damaged = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        dice.choice(_DAMAGES)(damaged, others, dice)
    return bytes(damaged)


def _flip(content: bytearray, _others: Sequence[bytes], dice: random.Random) -> None:
    for _ in range(dice.choice((1, 3, 20))):
        if content:
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def _flip_early(content: bytearray, _others: Sequence[bytes], dice: random.Random) -> None:
    """Headers are where sizes and offsets stand."""
    for _ in range(dice.choice((1, 3, 8))):
        if content:
            content[dice.randrange(min(200, len(content)))] = dice.randrange(256)


def _cut(content: bytearray, _others: Sequence[bytes], dice: random.Random) -> None:
    del content[dice.randrange(len(content) + 1) :]


def _drop(content: bytearray, _others: Sequence[bytes], dice: random.Random) -> None:
    start = dice.randrange(len(content) + 1)
    del content[start : start + dice.choice((1, 16, 512))]


def _repeat(content: bytearray, _others: Sequence[bytes], dice: random.Random) -> None:
    start = dice.randrange(len(content) + 1)
    content[start:start] = content[start : start + dice.choice((4, 64, 1024))] * dice.randint(1, 9)


def _splice(content: bytearray, others: Sequence[bytes], dice: random.Random) -> None:
    """A piece of another file."""
    other = dice.choice(others)
    start, at = dice.randrange(len(other) + 1), dice.randrange(len(content) + 1)
    piece = other[start : start + dice.choice((8, 100, 2000))]
    content[at : at + len(piece) * dice.randint(0, 1)] = piece


def _blank(content: bytearray, _others: Sequence[bytes], dice: random.Random) -> None:
    """A disk block that was never written."""
    start = dice.randrange(len(content) + 1)
    end = min(len(content), start + dice.choice((16, 512)))
    content[start:end] = bytes(end - start)


def _exaggerate(content: bytearray, _others: Sequence[bytes], dice: random.Random) -> None:
    """A number at the edge of its range, in binary or in digits."""
    digits = [at for at, byte in enumerate(content) if 48 <= byte <= 57]
    if digits and dice.random() < 0.5:
        at = dice.choice(digits)
        content[at : at + 1] = dice.choice((b"999999999", b"-1", b"0", b"9", b"4294967296"))
    elif content:
        at = dice.randrange(len(content))
        content[at : at + 4] = dice.choice(_EXTREMES)


_DAMAGES = (_flip, _flip_early, _cut, _drop, _repeat, _splice, _blank, _exaggerate)
