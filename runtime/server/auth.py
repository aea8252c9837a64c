"""API keys: which clients may use the server, and the owner that each request counts for."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import NoReturn

from allocator.errors import InputError
from runtime.server.errors import ApiError

ANYONE = "anyone"


class Keys:
    """The keys that clients may use.

    Args:
        keys: the keys; without any, every request is accepted.

    Raises:
        InputError: an empty key, or one with space around it, which no header can carry.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        for key in keys:
            if not key or key != key.strip():
                raise InputError("api_keys", "...", "must not be empty or have space around it")
        self._digests = [_digest(key) for key in keys]

    def owner(self, authorization: str | None) -> str:
        """The owner of a request, as a short id that does not reveal the key.

        Args:
            authorization: the Authorization header; its characters are its bytes, as in Latin-1.

        Raises:
            ApiError: status 401, for a missing, malformed or unknown key.
        """
        if not self._digests:
            return ANYONE
        if authorization is None:
            _unauthorized("no API key; send the header Authorization: Bearer KEY")
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            _unauthorized("malformed Authorization header; send Authorization: Bearer KEY")
        given = hashlib.sha256(_raw(key.strip(" \t"))).digest()
        # Every key is compared, and all digests have one length: the time reveals nothing.
        if not sum(hmac.compare_digest(given, digest) for digest in self._digests):
            _unauthorized("unknown API key; ask the operator of this server for one")
        return given.hex()[:8]


def owner_of(key: str) -> str:
    """The owner that requests with a key have; see `Keys.owner`."""
    return _digest(key).hex()[:8]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _raw(header: str) -> bytes:
    try:
        return header.encode("latin-1")
    except UnicodeEncodeError:  # it cannot have come as a header
        return header.encode("utf-8", "surrogatepass")


def _unauthorized(message: str) -> NoReturn:
    raise ApiError(401, message, headers={"WWW-Authenticate": "Bearer"})
