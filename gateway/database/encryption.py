"""Encryption of stored secrets that must be readable later, with a key that is not in the database."""

import hashlib

import pybase64
from cryptography.fernet import Fernet, InvalidToken

from mesh.errors import NotEnabled, Unavailable


class Cipher:
    """Encrypts and decrypts stored secrets.

    Args:
        secret: the deployment's secret, from which the key is derived; empty: there is none.
        passing: whether what is encrypted ends with this process, so that a random key will do.
    """

    def __init__(self, secret: str, *, passing: bool = False) -> None:
        key = _key(secret) if secret else Fernet.generate_key() if passing else None
        self._fernet = Fernet(key) if key else None

    def encrypt(self, text: str) -> str:
        """`text`, encrypted.

        Raises:
            NotEnabled: the deployment has no secret, and secrets are not stored unencrypted.
        """
        if self._fernet is None:
            raise NotEnabled(
                "this deployment does not store clients' secrets; its operator can set CN_GATEWAY_SECRET to enable that"
            )
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, sealed: str) -> str:
        """The text that `encrypt` was given.

        Raises:
            Unavailable: it was encrypted with another secret, or the deployment has none now.
        """
        try:
            if self._fernet is not None:
                return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            pass
        raise Unavailable(
            "a stored secret can't be decrypted: CN_GATEWAY_SECRET is not the one that it was encrypted with"
        )


def _key(secret: str) -> bytes:
    # Slow on purpose, and once per process: the setting may be a phrase that a person chose.
    derived = hashlib.scrypt(secret.encode(), salt=b"controlmesh gateway seal", n=2**14, r=8, p=1, dklen=32)
    return pybase64.urlsafe_b64encode(derived)
