import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.errors import InputError
from tasteshift.leaderboard.keys import attempt_key, commitment, seed_from, subkey

SECRET = bytes(range(32))
KEYS = st.binary(min_size=32, max_size=32)
LABELS = st.lists(st.text() | st.integers(), max_size=3).map(tuple)


def hmac_by_definition(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 by the definition in RFC 2104."""
    inner, outer = (bytes(b ^ pad for b in key.ljust(64, b"\0")) for pad in (0x36, 0x5C))
    return hashlib.sha256(outer + hashlib.sha256(inner + message).digest()).digest()


def test_known_answers() -> None:
    """Made with `openssl dgst -sha256 -mac HMAC` and `openssl dgst -sha256`."""
    attempt = "00112233445566778899aabbccddeeff"
    assert attempt_key(SECRET, attempt).hex() == (
        "42afca8458199e3f31d113f31a9aaf383ad105aa751afa846f4360d33b5ed1a0"
    )
    assert subkey(SECRET, "life", 17).hex() == (
        "ac6f30e90c173ea53724a28465e90059fca035893e57af9024b594a520f3368b"
    )
    assert seed_from(SECRET, "life", 17) == 0xAC6F30E90C173EA5 >> 1
    assert commitment(SECRET, "winter") == (
        "5a60941682546ff4c4eeb8a5a6831397b21fb21904dc264144c366e13764b59d"
    )


@given(KEYS, st.text(), st.integers())
def test_subkey_is_hmac_of_its_labels(key: bytes, text: str, number: int) -> None:
    word = text.encode(errors="surrogatepass") if text.isascii() else text.encode()
    digits = str(number).encode()
    message = b"s%d:%s,i%d:%s," % (len(word), word, len(digits), digits)
    assert subkey(key, text, number) == hmac_by_definition(key, message)


@given(KEYS, LABELS, LABELS)
def test_different_labels_have_different_subkeys(
    key: bytes, one: tuple[str | int, ...], other: tuple[str | int, ...]
) -> None:
    same = [(type(x), x) for x in one] == [(type(x), x) for x in other]
    assert (subkey(key, *one) == subkey(key, *other)) == same


def test_every_bit_of_secret_and_attempt_changes_the_key() -> None:
    attempt = "0123456789abcdef" * 2
    keys = {attempt_key(SECRET, attempt)}
    for bit in range(256):
        changed = bytearray(SECRET)
        changed[bit // 8] ^= 1 << bit % 8
        keys.add(attempt_key(bytes(changed), attempt))
    for k in range(32):
        other = "0" if attempt[k] != "0" else "1"
        keys.add(attempt_key(SECRET, attempt[:k] + other + attempt[k + 1 :]))
    assert len(keys) == 1 + 256 + 32


@given(KEYS, st.integers())
def test_seeds_have_63_bits(key: bytes, label: int) -> None:
    assert 0 <= seed_from(key, label) < 2**63


def test_seeds_use_all_63_bits() -> None:
    seeds = [seed_from(SECRET, k) for k in range(400)]
    for bit in range(63):
        ones = sum(seed >> bit & 1 for seed in seeds)
        assert 100 < ones < 300, bit
    assert len(set(seeds)) == 400


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_secret_must_have_32_bytes(secret: bytes) -> None:
    with pytest.raises(InputError, match="32 bytes"):
        commitment(secret, "winter")
    with pytest.raises(InputError, match="32 bytes"):
        attempt_key(secret, "0" * 32)


@pytest.mark.parametrize("name", ["", "0" * 31, "0" * 33, "G" * 32, "0" * 32 + "\n", "../" * 11])
def test_attempt_id_must_be_32_hexadecimal_digits(name: str) -> None:
    with pytest.raises(InputError, match="32 hexadecimal digits"):
        attempt_key(SECRET, name)
