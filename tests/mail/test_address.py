"""Addresses: one spelling each, and a reason for what is none."""

import pytest

from ballot.mail.address import BadAddress, normal_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("voter1@example.org", "voter1@example.org"),
        ("  Ann.O'Hara+vote@Example.ORG\n", "ann.o'hara+vote@example.org"),
        ("a@localhost", "a@localhost"),
        ("a@EXÄMPLE.org", "a@xn--exmple-cua.org"),
        ("a@exa\u0308mple.org", "a@xn--exmple-cua.org"),
        ("a@xn--exmple-cua.org", "a@xn--exmple-cua.org"),
        ("a@例え。jp", "a@xn--r8jz45g.jp"),
        ("a@straße.de", "a@xn--strae-oqa.de"),
    ],
)
def test_an_address_has_one_spelling(text: str, address: str) -> None:
    assert normal_address(text) == address
    assert normal_address(address) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "nobody", "@example.org", "a@", "a@@b", "a b@example.org", "a@b..c", "a@-b", "a@b-", "ä@example.org"),
        *("a@b\nBcc: c@d", '"a"@example.org', "a" * 65 + "@example.org", "a@" + "b" * 254, "<a@b>", "a@b\0.org"),
        # A Kelvin sign becomes a k in lower case; a domain that IDNA does not allow; one that says it is and is not.
        *("\u212a@example.org", "a@\u2603\ufe0f\u200d.org", "a@xn--zz.org", "a@ex\u00adample..org", "a@ä" + "b" * 80),
    ],
)
def test_what_mail_cannot_be_sent_to_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        normal_address(text)
    assert str(caught.value)
