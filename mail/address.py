"""An e-mail address in its one spelling, so that the same mailbox is never two voters by accident."""

from __future__ import annotations

import re

import idna

MAX_ADDRESS = 254
# The mailbox part without quoting or comments, the domain in its ASCII form (RFC 5321, section 4.1.2).
_LOCAL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


class BadAddress(ValueError):
    """Text that is no address mail can be sent to; the message says why."""


def normal_address(text: str) -> str:
    """Lower case, no blanks around it, an international domain in its ASCII form (RFC 5891). Raises BadAddress."""
    local, at, domain = text.strip().rpartition("@")
    if not at or not local or not domain:
        raise BadAddress("not an e-mail address")
    if not local.isascii():
        raise BadAddress("letters beyond ASCII before the @ are not taken")
    address = f"{local}@{_ascii_domain(domain)}".lower()
    local, _, domain = address.rpartition("@")
    if len(address) > MAX_ADDRESS or ".." in address or not (_LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain)):
        raise BadAddress("not an e-mail address that mail can be sent to")
    return address


def _ascii_domain(domain: str) -> str:
    # Plain names are left to the pattern: the rules for international ones would refuse some that exist.
    if domain.isascii() and "xn--" not in domain.lower():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError) as error:
        raise BadAddress(f"the domain is not a valid international name: {error}") from error
