"""Which kernels the model is compared with."""

import os
from types import SimpleNamespace

import pytest

from . import host


def machine(monkeypatch, release="6.18.1-foo", sysname="Linux", architecture="x86_64", **wrong):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(
        sysname=sysname, machine=architecture, release=release))
    monkeypatch.setattr(host, "_number", lambda _name: 0)
    monkeypatch.setattr(host, "SETTINGS", {"it rains": lambda: wrong.get("rain", False)})


def test_a_known_kernel_will_do(monkeypatch):
    machine(monkeypatch)
    assert host.not_comparable() is None
    assert host.read_host().release == (6, 18)


@pytest.mark.parametrize(("options", "reason"), [
    ({"release": "6.8.0-generic"}, "Linux 6.8.0-generic has not been compared with the model"),
    ({"release": "4.4.0"}, "Linux 4.4.0 has not been compared with the model, only 6.18"),
    ({"sysname": "Darwin"}, "The kernel must be Linux on x86_64, not Darwin on x86_64"),
    ({"architecture": "aarch64"}, "The kernel must be Linux on x86_64, not Linux on aarch64"),
    ({"rain": True}, "Here it rains, which the model does not follow"),
])
def test_any_other_is_passed_over_with_the_reason(monkeypatch, options, reason):
    machine(monkeypatch, **options)
    assert host.not_comparable().startswith(reason)


def test_an_unknown_release_can_be_taken_for_a_known_one(monkeypatch):
    machine(monkeypatch, release="6.1.0-28-amd64")
    assert host.not_comparable((6, 1)) is None
    assert host.read_host((6, 1)).release == (6, 1)
