from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.runtimes.addresses import refusal

SCALE = int(os.environ.get("WEFT_FUZZ_SCALE", "1"))

METADATA = "link-local (where clouds keep their metadata)"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.10", "::1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "100.64.0.1", "fc00::1", "fd12::1",
        "8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::808:808",
        "64:ff9b:1:808:8:800::", "64:ff9b:1::808:808",
    ],
)  # fmt: skip
def test_services_of_people_may_be_asked(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("169.254.169.254", METADATA),
        ("169.254.0.1", METADATA),
        ("::ffff:169.254.169.254", METADATA),
        ("::ffff:a9fe:a9fe", METADATA),
        ("::ffff:0:169.254.169.254", METADATA),
        ("::169.254.169.254", METADATA),
        ("64:ff9b::169.254.169.254", METADATA),
        ("64:ff9b::a9fe:a9fe", METADATA),
        ("64:ff9b:1::a9fe:a9fe", METADATA),
        ("64:ff9b:1:a9fe:a9:fe00::", METADATA),
        ("64:ff9b:1::", "unspecified"),
        ("2002:a9fe:a9fe::1", METADATA),
        ("2001:0:a9fe:a9fe::1", METADATA),
        ("2001:0:102:304:3:4:5601:5601", METADATA),
        ("fe80::5efe:a9fe:a9fe", "link-local"),
        ("2001:db8::5efe:a9fe:a9fe", METADATA),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("febf::1", "link-local"),
        ("fd00:ec2::254", "a metadata service"),
        ("fd00:ec2::23", "a metadata service"),
        ("100.100.100.200", "a metadata service"),
        ("::ffff:100.100.100.200", "a metadata service"),
        ("168.63.129.16", "a metadata service"),
        ("192.0.0.192", "a metadata service"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.250", "multicast"),
        ("ff02::1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("2002:ffff:ffff::", "reserved"),
        ("localhost", "no IP address"),
        ("2852039166", "no IP address"),
        ("0x7f.1", "no IP address"),
        ("", "no IP address"),
    ],
)
def test_what_hands_out_keys_may_not(address: str, reason: str) -> None:
    assert refusal(address) == reason


@settings(max_examples=300 * SCALE, deadline=None)
@given(st.ip_addresses())
def test_every_address_has_an_answer(address: object) -> None:
    assert isinstance(refusal(str(address)), str | None)
