from __future__ import annotations

import os
import signal

import pytest
from ansible.module_utils.rollout.controller import signals


@pytest.mark.parametrize(
    ("hup", "handled"), [(signal.SIG_DFL, {signal.SIGTERM, signal.SIGHUP}), (signal.SIG_IGN, {signal.SIGTERM})]
)
def test_a_signal_is_an_interruption_unless_nohup_wants_none(monkeypatch, hup, handled):
    before, after, sent = {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: hup}, {}, []
    monkeypatch.setattr(signals.signal, "getsignal", before.__getitem__)
    monkeypatch.setattr(signals.signal, "signal", after.__setitem__)
    monkeypatch.setattr(signals.os, "kill", lambda *given: sent.append(given))
    signals.interrupt()
    assert set(after) == handled
    after[signal.SIGTERM](signal.SIGTERM, None)
    assert sent == [(os.getpid(), signal.SIGINT)]
