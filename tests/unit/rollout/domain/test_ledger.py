from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain import ledger
from ansible.module_utils.rollout.domain.lock import Clock
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

ARMED = {"timeout": 900, "boot": "b", "clock": 1.5}
STOPPING = {"seconds": 15.0, "boot": "b", "clock": 5.0, "containers": ["c1"]}
MARKS = {"armed": ARMED, "stopping": STOPPING}
RELEASES = ["sha-aaaaaaa", "sha-bbbbbbb", "sha-ccccccc", "sha-ddddddd"]


def text_of(*events):
    """A ledger: each event is (event, facts)."""
    return "".join(
        ledger.line(n, event, facts.pop("run", f"run{n}"), "2026-01-01T00:00:00Z", **facts)
        for n, (event, facts) in enumerate(({"e": e, "f": dict(f)}.values() for e, f in events), 1)
    )


def folded(*events):
    return ledger.fold(*ledger.parse(text_of(*events)))


def confirmed(release, action="rollout", name=None, **facts):
    return "confirmed", {"name": name or release, "release": release, "action": action, **facts}


def names(stables):
    return [s.name for s in stables]


events = st.lists(
    st.tuples(st.sampled_from(ledger.EVENTS), st.sampled_from(RELEASES), st.sampled_from(["rollout", "rollback"])).map(
        lambda t: (t[0], {"name": t[1], "release": t[1], "action": t[2], **MARKS.get(t[0], {})})
    ),
    max_size=20,
)


def test_an_unknown_event_is_never_written():
    with pytest.raises(ValueError, match="exploded"):
        ledger.line(1, "exploded", "r", "t")


@given(st.text(), st.dictionaries(st.sampled_from(["name", "stack", "service"]), st.text()))
def test_an_entry_is_one_line_and_is_read_back(run, facts):
    line = ledger.line(7, "staged", run, "t", **facts)
    assert line.count("\n") == 1
    assert ledger.parse(line) == ([{"seq": 7, "event": "staged", "run": run, "at": "t", **facts}], False)


def test_torn_at_every_byte():
    whole = text_of(("staged", {"name": "ä"}), ("switching", {"name": "ä", "service": "web"}), confirmed("sha-aaaaaaa"))
    data = whole.encode()
    all_entries, torn = ledger.parse(whole)
    assert len(all_entries) == 3
    assert not torn
    for cut in range(len(data)):
        entries, torn = ledger.parse(data[:cut].decode("utf-8", "replace"))
        assert entries == all_entries[: len(entries)]
        assert torn == (cut > 0 and data[cut - 1 : cut] != b"\n")
        ledger.fold(entries, torn)


@given(events, st.data())
def test_read_in_parts_it_says_the_same(found, data):
    lines = text_of(*found).splitlines(keepends=True)
    torn = data.draw(st.sets(st.integers(0, len(lines))))
    lines = [part for n, line in enumerate([*lines, ""]) for part in (["{torn\n"] if n in torn else []) + [line]]
    cut = data.draw(st.integers(0, len(lines)))
    first = ledger.fold(*ledger.parse("".join(lines[:cut])))
    said = repr(first)
    whole = ledger.fold(*ledger.parse("".join(lines[cut:]), first.last_seq), first)
    assert whole == ledger.fold(*ledger.parse("".join(lines)))
    assert repr(first) == said


def test_entries_out_of_order_are_seen_in_parts_too():
    with pytest.raises(RolloutError, match=r"entry 2 comes after entry 3"):
        ledger.parse(ledger.line(2, "staged", "r", "t"), 3)


@given(events, st.data())
def test_any_prefix_yields_a_prefix(found, data):
    whole = text_of(*found)
    cut = data.draw(st.integers(0, len(whole)))
    entries, _torn = ledger.parse(whole[:cut])
    assert entries == ledger.parse(whole)[0][: len(entries)]
    assert len(entries) >= whole[:cut].count("\n")


def test_a_torn_line_in_the_middle_is_passed_over():
    first, second = text_of(("staged", {}), ("staged", {})).splitlines(True)
    entries, torn = ledger.parse(first + '{"seq": 2, "ev\n' + second)
    assert [e["seq"] for e in entries] == [1, 2]
    assert torn


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "1",
        '{"seq": "1", "event": "staged"}',
        '{"event": "staged"}',
        '{"seq": 1, "event": "x"}',
        "\x00\x00",
        '{"seq": true, "event": "staged"}',
    ],
)
def test_what_is_no_entry_counts_as_torn(line):
    assert ledger.parse(line + "\n") == ([], True)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ([], False),
        ([("switching", {})], False),
        ([("reverted", {"by": "guard"})], False),
        ([("reverted", {})], True),
        ([("confirmed", {"name": "a", "release": "a"})], True),
        ([("confirmed", {"name": "a", "release": "a"}), ("switching", {})], True),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_torn_line_is_told_until_a_run_has_ended(after, told, at_once):
    torn = ledger.line(1, "staged", "r0", "t") + '{"torn\n'
    rest = "".join(ledger.line(n, event, "r1", "t", **facts) for n, (event, facts) in enumerate(after, 2))
    if at_once:
        found = ledger.fold(*ledger.parse(torn + rest))
    else:
        before = ledger.fold(*ledger.parse(torn))
        assert before.torn
        found = ledger.fold(*ledger.parse(rest, 1), before)
    assert found.torn is not told


@pytest.mark.parametrize("missing", ["name", "release", "run"])
def test_a_confirmation_that_lacks_a_fact_counts_as_torn(missing):
    entry = {"seq": 1, "event": "confirmed", "run": "r", "name": "n", "release": "r"}
    del entry[missing]
    entries, torn = ledger.parse(json.dumps(entry) + "\n")
    assert (entries, torn) == ([], True)


@given(events.filter(lambda found: len(found) > 1), st.data())
def test_an_entry_that_is_gone_is_missed_and_a_torn_one_is_not(found, data):
    lines = text_of(*found).splitlines(True)
    assert ledger.fold(*ledger.parse("".join(lines))).lost == 0
    gone = data.draw(st.integers(0, len(lines) - 2))
    there = data.draw(st.booleans())
    rest = [*lines[:gone], *(["{broken\n"] if there else []), *lines[gone + 1 :]]
    assert ledger.fold(*ledger.parse("".join(rest))).lost == gone + 1
    # A torn one was never an entry, wherever it stands.
    assert ledger.fold(*ledger.parse("".join([*lines[:gone], "{torn\n", *lines[gone:]]))).lost == 0


def test_a_ledger_that_lost_an_entry_is_refused():
    assert ledger.incomplete({"h1": 0, "h2": 0}) == ""
    assert ledger.incomplete({"h1": 0, "h2": 3}) == (
        "The ledger of host h2 is damaged: entry 3 is gone, so what it says of the releases there may be wrong. Restore "
        "ledger.jsonl from a backup, or move it away to start anew."
    )


@pytest.mark.parametrize("second", [1, 2])
def test_out_of_order_is_refused(second):
    text = ledger.line(2, "staged", "r", "t") + ledger.line(second, "staged", "r", "t")
    with pytest.raises(RolloutError) as error:
        ledger.parse(text)
    assert str(error.value) == (
        f"The ledger is damaged: entry {second} comes after entry 2. Restore ledger.jsonl from a backup, or move it away "
        "to start anew."
    )


def test_an_empty_ledger():
    empty = folded()
    assert (empty.stable, empty.previous, empty.interrupted, empty.last_seq) == (None, None, None, 0)


def test_history_is_an_undo_stack():
    a, b, c, d = RELEASES
    story = [confirmed(a), confirmed(b), confirmed(c)]
    assert names(folded(*story).history) == [a, b, c]
    story.append(confirmed(b, "rollback"))
    assert names(folded(*story).history) == [a, b]
    story.append(confirmed(a, "rollback"))
    assert names(folded(*story).history) == [a], "two rollbacks go two releases back"
    assert folded(*story).previous is None
    story.append(confirmed(d))
    assert names(folded(*story).history) == [a, d]
    assert names(folded(*story).known) == [c, b, a, d], "the last confirmed comes last"


def test_rolling_back_to_one_outside_the_history_pushes_it():
    a, b, c, _d = RELEASES
    after = folded(confirmed(a), confirmed(b), confirmed(a, "rollback"), confirmed(c), confirmed(b, "rollback"))
    assert names(after.history) == [a, c, b]


def test_the_same_release_again_is_no_second_step():
    a, b, *_rest = RELEASES
    again = folded(confirmed(a), confirmed(b), confirmed(b))
    assert names(again.history) == [a, b]
    assert again.stable.seq == 3
    assert names(again.known) == [a, b]


def test_removed_leaves_everywhere():
    a, b, *_rest = RELEASES
    after = folded(("staged", {"name": a}), confirmed(a), confirmed(b), ("removed", {"name": a}))
    assert names(after.history) == names(after.known) == [b]
    assert after.staged == []


@pytest.mark.parametrize("end", [("reverted", {"name": "x"}), confirmed("sha-aaaaaaa")])
def test_interrupted_is_the_last_step_of_a_run_that_did_not_end(end):
    story = [("switching", {"service": "web"}), ("switched", {"stack": "core"})]
    assert folded(*story).interrupted["event"] == "switched"
    assert folded(*story, end).interrupted is None
    assert folded(("staged", {"name": "x"})).interrupted is None


@given(events, st.integers(-1, 6))
def test_present_and_previous_are_always_retained(found, keep):
    state = folded(*found)
    kept = ledger.retained(state, keep)
    assert {s.name for s in (state.stable, state.previous) if s} <= kept
    assert len(kept) <= max(keep, 0) + 2
    assert kept <= set(names(state.known))


@given(events)
def test_the_history_never_repeats_itself_side_by_side(found):
    history = names(folded(*found).history)
    assert all(x != y for x, y in zip(history, history[1:]))


def armed(run="r1"):
    return "armed", {"run": run, "name": "sha-bbbbbbb", "release": "sha-bbbbbbb", **ARMED}


@pytest.mark.parametrize(
    "change",
    [
        {"run": None},
        {"name": 1},
        {"boot": None},
        {"timeout": "900"},
        {"clock": None},
    ],
)
def test_an_arming_that_lacks_a_fact_counts_as_torn(change):
    entry = {"seq": 1, "event": "armed", "run": "r", "name": "n", **ARMED}
    assert ledger.parse(json.dumps(entry) + "\n") == ([entry], False)
    assert ledger.parse(json.dumps({**entry, **change}) + "\n") == ([], True)
    short = {key: value for key, value in entry.items() if key not in change}
    assert ledger.parse(json.dumps(short) + "\n") == ([], True)


def test_a_torn_arming_arms_nothing():
    line = text_of(armed())
    for cut in range(len(line) - 1):
        assert ledger.fold(*ledger.parse(line[:cut])).armed is None


@pytest.mark.parametrize(
    ("end", "guarded"),
    [
        (("reverted", {"run": "r1", "name": "x"}), None),
        (("reverted", {"run": "r1", "name": "x", "by": "guard"}), "r1"),
        (confirmed("sha-aaaaaaa", run="r1"), None),
    ],
)
def test_armed_until_the_run_ends(end, guarded):
    story = [armed(), ("switching", {"run": "r1", "service": "web"})]
    open_run = folded(*story)
    assert (open_run.armed["run"], open_run.closed, open_run.guarded) == ("r1", None, None)
    assert open_run.interrupted["event"] == "switching"
    closed = folded(*story, end)
    assert (closed.armed, closed.interrupted, closed.closed["event"]) == (None, None, end[0])
    assert closed.guarded == guarded
    assert folded(*story, end, ("staged", {"name": "y"})).guarded == guarded
    again = folded(*story, end, armed("r2"))
    assert (again.armed["run"], again.guarded, again.interrupted["event"]) == ("r2", None, "armed")


def test_the_last_arming_counts():
    assert folded(armed("r1"), armed("r2")).armed["run"] == "r2"


@pytest.mark.parametrize(
    ("behind", "hosts"), [({}, []), ({"behind": ["h2", "h3"]}, ["h2", "h3"]), ({"behind": None}, []), ({"behind": [1]}, ["1"])]
)
def test_behind_are_those_that_the_last_confirmed_run_left_out(behind, hosts):
    assert folded(confirmed("sha-aaaaaaa", behind=["old"]), confirmed("sha-bbbbbbb", **behind)).behind == hosts
    assert folded(confirmed("sha-bbbbbbb", **behind), ("reverted", {})).behind == hosts


def fleet():
    a, b, c, _d = RELEASES
    core = [confirmed(a, run="r1"), confirmed(b, run="r2"), confirmed(c, run="r3")]
    worker = [confirmed(a, run="r1", name=a + ".2"), confirmed(b, run="r2"), confirmed(c, run="r3")]
    return {"core": folded(*core), "worker": folded(*worker)}


@pytest.mark.parametrize(
    ("tag", "core", "worker"),
    [
        (None, "sha-bbbbbbb", "sha-bbbbbbb"),
        ("sha-aaaaaaa", "sha-aaaaaaa", "sha-aaaaaaa.2"),
        ("sha-aaaaaaa0123", "sha-aaaaaaa", "sha-aaaaaaa.2"),
    ],
)
def test_rollback_target(tag, core, worker):
    targets = ledger.rollback_target(fleet(), "core", tag)
    assert {host: s.name for host, s in targets.items()} == {"core": core, "worker": worker}


@pytest.mark.parametrize("host", ["core", "worker"])
@pytest.mark.parametrize("event", ["armed", "switching", "switched", "reverting"])
def test_after_an_interrupted_run_anywhere_it_is_the_present_stable_release(host, event):
    found = fleet()
    found[host].open.append({"event": event, "run": "r4"})
    assert {h: s.name for h, s in ledger.rollback_target(found, "core", None).items()} == {
        "core": "sha-ccccccc",
        "worker": "sha-ccccccc",
    }
    assert ledger.rollback_target(found, "core", "sha-aaaaaaa")["core"].name == "sha-aaaaaaa"


def test_an_interrupted_first_rollout_has_nothing_to_go_back_to():
    with pytest.raises(RolloutError, match="There is no earlier stable release on host core"):
        ledger.rollback_target({"core": folded(armed())}, "core", None)


def test_rollback_target_without_that_run_takes_the_release():
    found = fleet()
    found["worker"] = folded(confirmed("sha-bbbbbbb", run="other"))
    assert ledger.rollback_target(found, "core", None)["worker"].name == "sha-bbbbbbb"


def test_rollback_to_what_never_was_stable_is_refused():
    with pytest.raises(RolloutError) as error:
        ledger.rollback_target(fleet(), "core", "sha-eeeeeee")
    assert str(error.value) == (
        "sha-eeeeeee is not a stable release of host core, so it cannot be rolled back to. Stable releases there: "
        "sha-ccccccc (the present one), sha-bbbbbbb, sha-aaaaaaa. Any other one comes by rollout.yml, also one whose "
        "files rollout_keep has removed."
    )


@pytest.mark.parametrize(
    ("story", "exist"),
    [
        ([], "none."),
        ([confirmed("sha-aaaaaaa")], "sha-aaaaaaa (the present one)."),
        # Rolled back to the first one already.
        (
            [confirmed("sha-aaaaaaa"), confirmed("sha-bbbbbbb"), confirmed("sha-aaaaaaa", action="rollback")],
            "sha-aaaaaaa (the present one), sha-bbbbbbb. For another one than the one before: -e sha=…",
        ),
    ],
)
def test_rollback_without_an_earlier_one_is_refused(story, exist):
    with pytest.raises(RolloutError) as error:
        ledger.rollback_target({"core": folded(*story)}, "core", None)
    assert str(error.value) == (
        f"There is no earlier stable release on host core to roll back to. Stable releases there: {exist}"
    )


@pytest.mark.parametrize(("story", "have"), [([], "none"), ([confirmed("sha-ddddddd", run="r9")], "sha-ddddddd")])
def test_rollback_of_a_host_that_does_not_have_it_is_refused(story, have):
    found = {**fleet(), "new": folded(*story)}
    with pytest.raises(RolloutError) as error:
        ledger.rollback_target(found, "core", None)
    assert str(error.value) == (
        f"Host new has no stable release sha-bbbbbbb to go back to. Stable releases there: {have}. Choose one that all "
        "hosts have with -e sha=…"
    )


def test_rollback_to_a_release_that_was_taken_back():
    def confirmed(seq, run, name, action="rollout"):
        return ledger.line(seq, "confirmed", run, "t", name=name, release=name, action=action)

    text = confirmed(1, "r1", "sha-a") + confirmed(2, "r2", "sha-b") + confirmed(3, "r3", "sha-c")
    folded = ledger.fold(*ledger.parse(text + confirmed(4, "r3", "sha-b", "rollback")))
    assert ledger.rollback_target({"core": folded}, "core", "sha-c")["core"].name == "sha-c"


@pytest.mark.parametrize(
    ("seconds", "took"),
    [
        ([{"web": 2.0}, {"web": 3, "db": 1.5}], {"web": [2.0, 3.0], "db": [1.5]}),
        ([{"web": float(n)} for n in range(9)], {"web": [4.0, 5.0, 6.0, 7.0, 8.0]}),
        ([{"web": "2"}, {"web": True}, None, "x"], {}),
    ],
)
def test_the_seconds_of_the_last_restarts(seconds, took):
    entries = [{"seq": n, "event": "switched", "run": "r", "seconds": s} for n, s in enumerate(seconds)]
    assert ledger.fold(entries).took == took


def test_confirmations_and_reverts_are_counted_whatever_was_removed():
    def made(seq, event, **facts):
        return {"seq": seq, "event": event, "run": f"r{seq}", "at": f"t{seq}", "name": "a", "release": "v1", **facts}

    entries = [
        made(1, "confirmed", action="rollout"),
        made(2, "reverted"),
        made(3, "reverted", by="guard"),
        made(4, "confirmed", action="rollback"),
        made(5, "removed"),
        {"seq": 6, "event": "confirmed", "run": "r6", "name": "a", "release": "v1"},
    ]
    folded = ledger.fold(entries)
    assert [(s.run, s.at, s.action) for s in folded.confirmed] == [
        ("r1", "t1", "rollout"),
        ("r4", "t4", "rollback"),
        ("r6", "", "rollout"),
    ]
    assert folded.reverts == {"run": 1, "guard": 1}


def test_a_step_that_a_guard_ended_is_kept_in_mind_and_opens_nothing():
    ended = ("ended", {"run": "r2", "step": "gate web", "process": 4711, "by": "guard"})
    found = folded(("armed", {"name": "a", **ARMED, "run": "r2"}), ended)
    assert found.ended.items() >= ended[1].items()
    assert [entry["event"] for entry in found.open] == ["armed"]
    assert found.armed["run"] == "r2"
    after = folded(("armed", {"name": "a", **ARMED, "run": "r2"}), ended, ("reverted", {"run": "r2", "by": "guard"}))
    assert (after.ended, after.guarded, after.lost, after.torn) == (found.ended, "r2", 0, False)
    assert folded(("staged", {"name": "a"})).ended is None


@pytest.mark.parametrize(
    ("stack", "now", "left"),
    [
        ("core", Clock("b", 7.0), {"c1": 13.0}),
        ("core", Clock("b", 20.0), {}),
        ("other", Clock("b", 7.0), {}),
        # A boot counts from its beginning.
        ("core", Clock("c", 1.0), {"c1": 14.0}),
    ],
)
def test_how_long_what_was_told_to_stop_may_take(stack, now, left):
    stop = {"run": "r1", "stack": "core", "name": "a", **STOPPING}
    assert ledger.stopping(folded(("stopping", stop)), stack, now) == left
    assert ledger.stopping(folded(("stopping", stop), ("reverted", {"run": "r1"})), stack, now) == {}


def test_a_stop_is_a_part_of_the_step_before_it():
    found = folded(("switching", {"run": "r1", "service": "web"}), ("stopping", {"run": "r1", "name": "a", **STOPPING}))
    assert found.interrupted["event"] == "switching"


@pytest.mark.parametrize("wrong", [{"containers": None}, {"seconds": "15"}, {"boot": None}, {"clock": None}])
def test_a_stop_that_says_too_little_is_torn(wrong):
    entry = {"seq": 1, "event": "stopping", "run": "r", "name": "n", **STOPPING, **wrong}
    assert ledger.parse(json.dumps(entry) + "\n") == ([], True)
