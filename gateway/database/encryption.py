"""Secrets that must be read again, encrypted with a key that the database does not hold."""

import hashlib

import pybase64
from cryptography.fernet import Fernet, InvalidToken

from mesh.errors import NotEnabled, Unavailable


class Cipher:
    """Encrypts and decrypts.

    Args:
        secret: the deployment's, from which the key is derived; empty: none is known.
        passing: whether what is sealed ends with this process, so that a key made here will do.
    """

    def __init__(self, secret: str, *, passing: bool = False) -> None:
        key = _key(secret) if secret else Fernet.generate_key() if passing else None
        self._fernet = Fernet(key) if key else None

    def encrypt(self, text: str) -> str:
        """`text`, encrypted.

        Raises:
            NotEnabled: the deployment has no secret, and what is unencrypted is not kept.
        """
        if self._fernet is None:
            raise NotEnabled("this deployment keeps no secrets of others: set CN_GATEWAY_SECRET to allow it")
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, sealed: str) -> str:
        """What `encrypt` gave.

        Raises:
            Unavailable: under another secret, or there is none now.
        """
        try:
            if self._fernet is not None:
                return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            pass
        raise Unavailable("a secret can't be read: CN_GATEWAY_SECRET is not the one that it was kept under")


def _key(secret: str) -> bytes:
    # Slow on purpose, and once a process: the setting may be a phrase that a person chose.
    derived = hashlib.scrypt(secret.encode(), salt=b"controlmesh gateway seal", n=2**14, r=8, p=1, dklen=32)
    return pybase64.urlsafe_b64encode(derived)
