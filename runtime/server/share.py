"""A share of all requests or prompts: which belong to it."""


def in_share(key: str, share: float) -> bool:
    """Whether a request or prompt belongs to a share; of a larger share it is a part, too.

    Args:
        key: its id or hash: hexadecimal digits, random in the first eight.
        share: 0 is none of them, 1 all.
    """
    return int(key[:8], 16) < share * 2**32
