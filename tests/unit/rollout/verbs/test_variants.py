from __future__ import annotations

import re

from ansible.module_utils.rollout.verbs import restage, stage, variants
from story import order

RUN = "20261130T202100Z-ff2d"


def test_variants_are_told_apart_as_soon_as_there_are_two(host):
    host.rollout("a", run=RUN)
    host.rollout("b")
    assert variants.said(host.store) == {}
    asked = order("a", environment={"PORT": 1}, run="20261201T090000Z-0001")
    preview = stage.stage(host.store, host.engine, asked, True)["preview"]
    assert (preview["name"], preview["stable_name"]) == ("sha-aaaaaaa.2", "sha-bbbbbbb")
    two = {"sha-aaaaaaa": "1 of 2, 2026-11-30 20:21", "sha-aaaaaaa.2": "2 of 2, 2026-12-01 09:00, another PORT"}
    assert preview["variants"] == two
    stage.stage(host.store, host.engine, asked, False)
    assert variants.said(host.store) == two
    assert restage.restage(host.store, host.engine, "sha-aaaaaaa", True)["preview"]["variants"] == two


def test_they_are_in_the_order_of_their_numbers(host):
    for port in range(11):
        host.rollout("a", keep=20, environment={"PORT": port}, run=RUN)
    said = variants.said(host.store)
    assert re.match(r"11 of 11, .*another PORT$", said["sha-aaaaaaa.11"])
    assert said["sha-aaaaaaa.2"].startswith("2 of 11, ")


def test_what_was_edited_by_hand_costs_the_words_and_nothing_else(host):
    host.rollout("a")
    host.rollout("a", environment={"PORT": 1})
    (host.store.directory("sha-aaaaaaa") / "core/rollout.pins.json").write_text("[")
    assert variants.said(host.store) == {}
