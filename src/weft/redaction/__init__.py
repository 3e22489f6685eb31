"""Secrets: hidden in everything that is written down, put back where a value is needed again.

An output that contains a secret is *sealed* before it is journaled: each occurrence becomes `***` in the
payload, and a mark beside it says where that was, which secret, and in which form (as it is, escaped for JSON
or a URL, base64, hex). A form is a way to compute the very same characters from the secret, so opening
restores the value exactly, and nothing that is stored can be turned back into the secret. Because marks stand
beside the payload and not in it, data can neither forge one nor be hurt by looking like one.

Logs, messages and the terminal are only *masked*: there is no way back. A message that shows a value shows
the beginning of a long one, then `…`: what touches such a cut and begins or ends a secret is hidden as well.
Secrets under six characters are refused, because hiding `a` everywhere would hide nothing and make everything
unreadable.

    vault    the secrets of a run, and all that is done with them
    forms    the ways in which a secret may be written
    search   finds them in a text
    masking  there is no way back
    sealing  and opening again
"""

from weft.redaction.masking import MASK, StreamMasker
from weft.redaction.vault import Vault

__all__ = ["MASK", "StreamMasker", "Vault"]
