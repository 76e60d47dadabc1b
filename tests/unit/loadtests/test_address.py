"""Load goes to this machine, and nowhere else."""

from argparse import ArgumentTypeError

import pytest

from loadtests.client import Address, address_of


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000", Address("127.0.0.1", 8000)),
        ("http://localhost:8001", Address("127.0.0.1", 8001)),
        ("http://127.0.0.2", Address("127.0.0.2", 80)),
        ("http://[::1]:8000", Address("::1", 8000)),
    ],
)
def test_this_machine(url: str, address: Address) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize("url", ["http://10.0.0.1:8000", "http://memory.example.com", "http://127.0.0.1:port"])
def test_any_other_is_refused(url: str) -> None:
    with pytest.raises(ArgumentTypeError):
        address_of(url)
