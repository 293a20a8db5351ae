"""Parts of the C++ library that stand for one of Python's: digests, and the form of JSON that is sealed."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np

from mmkg_sdk.files.strict_json import plain_json
from tests.cpp.conftest import Ask


def test_digests_are_those_of_hashlib_and_of_the_standard(ask: Ask) -> None:
    random = np.random.default_rng(0)
    texts = [b"abc", b"", b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"]  # FIPS 180-4, its examples
    texts += [random.bytes(size) for size in (1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000, 4097)]
    found = ask(["digest"], [text.hex() for text in texts])
    assert found[0].split()[0] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert found[2].split()[1] == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    for text, answer in zip(texts, found, strict=True):
        assert answer.split() == [hashlib.sha256(text).hexdigest()] * 2


def test_numbers_and_texts_are_sealed_as_python_writes_them(ask: Ask) -> None:
    random = np.random.default_rng(1)
    floats = random.integers(0, 1 << 64, 3000, np.uint64).view(np.float64).tolist()
    floats += (random.standard_normal(500) * 10.0 ** random.integers(-20, 20, 500)).tolist()
    floats += [0.0, -0.0, 1e-4, 9.9999e-5, 1e15, 1e16, 9999999999999998.0, 123456789012345680.0, 5e-324, 0.1, 1 / 3]
    floats = [number for number in floats if math.isfinite(number) and abs(number) < 2.0**63]
    lines = [json.dumps(floats), json.dumps([0, -1, (1 << 63) - 1, -((1 << 63) - 1)])]
    lines.append(json.dumps({chr(code): code for code in range(1, 0x3000) if code not in (10, 13)}, ensure_ascii=False))
    lines.append(json.dumps({"\U0001f600": "\ud83d\ude00", "\uffff": 1, "\U00010000": [True, None, {}, []]}))
    lines += ["-0", "-0.0", "1E3", "1e-7", " [ 1 , 2.50 ] ", '"\\u0041\\/"', '{"b": 1, "a": {"d": 1, "c": 2}}']
    for line, found in zip(lines, ask(["canonical"], lines), strict=True):
        assert found == json.dumps(plain_json(line.encode()), sort_keys=True, separators=(",", ":"))


def test_what_is_no_plain_json_to_python_is_none_here(ask: Ask) -> None:
    lines = [
        "",
        "[",
        "[1,]",
        "01",
        "+1",
        "1.",
        ".5",
        "1e999",
        "NaN",
        "-Infinity",
        "nul",
        "[1] 2",
        "'a'",
        '"\\x"',
        '"\t"',
    ]
    lines += [
        '{"a":1,"a":2}',
        '{"a":{"b":1,"b":1}}',
        "// a\n1"[:4],
        '"\\ud800"',
        '{"\\udc00":1}',
        "\ufeff1",
        "1\x00",
        "\x00",
    ]
    lines += [str(1 << 63), str(-(1 << 63)), "9" * 5000, "9.3e18", "[" * 5000 + "]" * 5000, '"\x7f"', "\x0c1"]
    for line, found in zip(lines, ask(["canonical"], lines), strict=True):
        try:
            plain_json(line.encode())
            refused = False
        except (ValueError, RecursionError):
            refused = True
        assert (found == "refused") == refused, line[:40]
