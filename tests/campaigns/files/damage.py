"""Damage to the bytes of a file, whatever they mean."""

from __future__ import annotations

import random
from collections.abc import Callable

Damage = Callable[[bytes, random.Random], bytes]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 4, 64])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_bits_at_the_start(data: bytes, rng: random.Random) -> bytes:
    """Where formats have their magic numbers, sizes and versions."""
    return flip_bits(data[:256], rng) + data[256:]


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.choice([0, 1, len(data) // 2, max(len(data) - 1, 0), rng.randrange(len(data) or 1)])]


def extend(data: bytes, rng: random.Random) -> bytes:
    return data + rng.choice([bytes(rng.randrange(1, 5000)), rng.randbytes(rng.randrange(1, 5000)), data, b"\n", b"\0"])


def zero_a_range(data: bytes, rng: random.Random) -> bytes:
    begin, end = _range(data, rng)
    return data[:begin] + bytes(end - begin) + data[end:]


def fill_a_range(data: bytes, rng: random.Random) -> bytes:
    begin, end = _range(data, rng)
    return data[:begin] + b"\xff" * (end - begin) + data[end:]


def scramble_a_range(data: bytes, rng: random.Random) -> bytes:
    begin, end = _range(data, rng)
    return data[:begin] + rng.randbytes(end - begin) + data[end:]


def swap_blocks(data: bytes, rng: random.Random) -> bytes:
    size = rng.choice([1, 8, 64, 512])
    changed = bytearray(data)
    for _ in range(rng.choice([1, 3])):
        one, two = (rng.randrange(max(len(data) - size, 1)) for _ in range(2))
        changed[one : one + size], changed[two : two + size] = data[two : two + size], data[one : one + size]
    return bytes(changed)


def cut_out(data: bytes, rng: random.Random) -> bytes:
    begin, end = _range(data, rng)
    return data[:begin] + data[end:]


def repeat_a_range(data: bytes, rng: random.Random) -> bytes:
    begin, end = _range(data, rng)
    return data[:end] + data[begin:end] * rng.choice([1, 1, 40]) + data[end:]


def put_in_the_largest_number(data: bytes, rng: random.Random) -> bytes:
    """Overwrite 1, 2, 4 or 8 bytes with the largest or the smallest number that they can contain."""
    width = rng.choice([1, 2, 4, 8])
    begin = rng.randrange(max(len(data) - width, 1))
    value = rng.choice([b"\xff" * width, b"\xff" * (width - 1) + b"\x7f", b"\0" * (width - 1) + b"\x80", b"\0" * width])
    return data[:begin] + value + data[begin + width :]


def change_a_digit(data: bytes, rng: random.Random) -> bytes:
    """In texts, a digit becomes another one, a minus or a letter."""
    places = [index for index, byte in enumerate(data[:200_000]) if 48 <= byte < 58]
    if not places:
        return flip_bits(data, rng)
    place = rng.choice(places)
    return data[:place] + rng.choice([b"9", b"0", b"-", b"e9", b"99999999", b".", b"x"]) + data[place + 1 :]


def other_content(data: bytes, rng: random.Random) -> bytes:
    """Another kind of file under this one's name."""
    return rng.choice(
        [
            b"",
            bytes(4096),
            b"<!DOCTYPE html><html><body>Not found</body></html>",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            b"\x1f\x8b\x08\0" + bytes(40),
            b"\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }\n",
            b"\x7fELF" + bytes(100),
            b"PK\x05\x06" + bytes(18),
            b"\x89HDF\r\n\x1a\n" + bytes(100),
            b"\x80\x04N.",
            b"null",
            b"[]",
            b"{}",
            rng.randbytes(3000),
        ]
    )


def _range(data: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randrange(len(data) or 1)
    return begin, min(begin + rng.choice([1, 8, 100, 4096]), len(data))


DAMAGES: list[Damage] = [
    flip_bits,
    flip_bits_at_the_start,
    truncate,
    extend,
    zero_a_range,
    fill_a_range,
    scramble_a_range,
    swap_blocks,
    cut_out,
    repeat_a_range,
    put_in_the_largest_number,
    change_a_digit,
    other_content,
]
