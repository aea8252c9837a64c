"""Which requests and prompts belong to a share."""

import hashlib

from runtime.server.share import in_share

KEYS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(2000)]


def test_none_of_them_and_all() -> None:
    for key in ("00000000", "7fffffff", "ffffffff", *KEYS):
        assert not in_share(key, 0.0)
        assert in_share(key, 1.0)


def test_the_first_eight_digits_decide() -> None:
    assert in_share("7fffffffffffffff", 0.5)
    assert not in_share("8000000000000000", 0.5)


def test_a_share_is_as_large_as_requested_and_part_of_every_larger_one() -> None:
    tenth, third = ({key for key in KEYS if in_share(key, share)} for share in (0.1, 1 / 3))
    assert tenth < third
    assert 150 < len(tenth) < 250
    assert 600 < len(third) < 733
