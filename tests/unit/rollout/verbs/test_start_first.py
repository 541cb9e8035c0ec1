"""Start-first on a fake engine: HAProxy is what reads the file, at a reload, and answers in the name of its server."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain import haproxy
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import http, sockets
from ansible.module_utils.rollout.verbs import stage
from story import Host, order

FRONT = "http://127.0.0.1:8000/health"


def text_of(letter, number=1, **keys):
    release = "sha-" + letter * 7
    gate = {"successes": 1, "window": 0, "deadline": 5, "health": [FRONT], "names_release": True}
    return json.dumps(
        {
            "services": {
                "proxy": {"image": "haproxy:lts", "ports": [{"published": "8000"}]},
                "web": {"image": f"r/web:{release}", "scale": number},
            },
            "x-rollout": {"web": {**gate, "start_first": {"proxy": "proxy", "port": 80, "drain": 30}, **keys}},
        }
    )


class World:
    """A host whose engine reloads a proxy, and containers that answer."""

    def __init__(self, root):
        self.host = Host(root)
        self.engine, self.store = self.host.engine, self.host.store
        self.engine.images["haproxy:lts"] = "sha256:" + "9" * 64
        self.loaded = ""
        self.deaf = False
        self.sick = set()
        # Requests to the proxy; the calls behind which it would have asked one that is gone.
        self.asked, self.lost = 0, []
        # Where the process is killed: the number of the change at which it happens.
        self.dies_at = None
        self.most = 0
        run = self.engine.run

        def counted(arguments, *rest, **options):
            before = len(self.engine.touched)
            done = run(arguments, *rest, **options)
            self.most = max(self.most, len(self.mine()))
            if "kill -USR2 1" in arguments and not self.deaf:
                self.loaded = self.store.servers("core", "web")
                self.engine.top = [{1: 0, 7: 1, 8: 1}, {1: 0, 8: 1}]
            up = {c["Name"][1:] for c in self.mine() if c["State"]["Status"] == "running"}
            if not up.issuperset(haproxy.active(self.loaded)):
                self.lost.append(self.engine.calls[-1])
            if self.dies_at is not None and len(self.engine.touched) > before:
                self.dies_at -= 1
                if self.dies_at < 0:
                    raise KeyboardInterrupt
            return done

        self.engine.run = counted

    def mine(self):
        return [c for c in self.engine.made if c["Name"].startswith("/app-core-web")]

    def release(self, container):
        return container["Config"]["Labels"]["rollout.release"]

    def ask(self, url):
        """A container directly, or the proxy."""
        if url != FRONT:
            found = next(
                (
                    c
                    for c in self.mine()
                    if url.startswith(f"http://{c['NetworkSettings']['Networks']['app-core']['IPAddress']}:")
                ),
                None,
            )
        else:
            # Each in its turn.
            names = haproxy.active(self.loaded)
            self.asked += 1
            serving = [c for c in self.mine() if c["Name"][1:] in names]
            found = serving[self.asked % len(serving)] if serving else None
        if found is None:
            return Answer(url, None, reason="connection refused")
        release = self.release(found)
        return Answer(url, 503 if release in self.sick else 200, release, container=found["Id"][:12] if url == FRONT else "")

    def rollout(self, letter, number=1, **keys):
        asked = order(letter, text=text_of(letter, number, **keys))
        name = stage.stage(self.store, self.engine, asked, False)["name"]
        self.engine.calls = []
        self.engine.top = [{1: 0, 7: 1}]
        return self.host.bring(name, "run-" + letter)

    def active(self):
        return " ".join(haproxy.active(self.store.servers("core", "web")))


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path / "state")
    monkeypatch.setattr(http, "ask", made.ask)
    # Whatever listens on this machine.
    monkeypatch.setattr(sockets, "listener", lambda port: "")
    return made


def row(result):
    return next(s for s in result["services"] if s["service"] == "web")


def test_the_first_rollout_starts_the_proxy_with_nobody_behind_it(world):
    result = world.rollout("a")
    assert row(result)["action"] == "create"
    assert world.engine.touched == ["up proxy create", "up web beside 0", "exec c1 sh -c kill -USR2 1"]
    assert world.active() == "app-core-web-2"
    assert world.ask(FRONT).release == "sha-aaaaaaa"


def test_the_new_container_comes_first_and_the_old_one_goes_last(world):
    world.rollout("a")
    result = world.rollout("b")
    assert world.engine.touched == ["up web beside 1", "exec c1 sh -c kill -USR2 1", "stop c2", "rm c2"]
    assert (row(result)["action"], row(result)["why"], row(result)["gap"]) == ("replace", "image", 0.0)
    assert [world.release(c) for c in world.mine()] == ["sha-bbbbbbb"]
    assert [p["phase"] for p in result["phases"]] == ["start", "health", "drain", "drain"]
    assert world.host.bring("sha-bbbbbbb")["changed"] is False


def test_a_broken_release_never_gets_a_request_and_its_way_back_moves_nothing(world):
    world.rollout("a")
    world.sick = {"sha-bbbbbbb"}
    with pytest.raises(
        RolloutError, match=r"after 5 s \(its deadline is 5 s\) it still waits for http://10.0.0.3:80/health: HTTP 503"
    ):
        world.rollout("b")
    assert world.active() == "app-core-web-2"
    assert len(world.mine()) == 2
    result = world.host.bring_back("sha-aaaaaaa")
    assert (row(result)["action"], row(result)["why"]) == ("replace", "2 containers")
    assert [c["Id"] for c in world.mine()] == ["c2"], "the container that served all along"


def test_the_way_back_from_a_release_that_serves_already(world):
    world.rollout("a")
    world.rollout("b")
    world.engine.calls = []
    world.host.bring_back("sha-aaaaaaa")
    assert world.engine.touched == ["up web beside 1", "exec c1 sh -c kill -USR2 1", "stop c3", "rm c3"]
    assert [world.release(c) for c in world.mine()] == ["sha-aaaaaaa"]


def test_on_the_way_back_even_a_sick_stable_release_takes_over(world):
    world.rollout("a")
    world.rollout("b")
    world.sick = {"sha-aaaaaaa"}
    world.host.bring_back("sha-aaaaaaa")
    assert [world.release(c) for c in world.mine()] == ["sha-aaaaaaa"], "it is wholly one release; proving it comes later"


def test_requests_that_do_not_arrive_leave_the_old_one_active(world, clock):
    world.rollout("a")
    world.deaf = True
    before = world.store.servers("core", "web")
    with pytest.raises(RolloutError) as error:
        world.rollout("b")
    assert (
        "20 s after its proxy proxy was told to reload, http://127.0.0.1:8000/health is not answered by the new container"
        in str(error.value)
    )
    assert error.value.facts["gate"] == "proxy"
    assert world.store.servers("core", "web") == before
    assert "stop c2" not in world.engine.calls


def test_open_connections_are_waited_for_until_the_limit(world, clock):
    world.rollout("a")
    asked = order("b", text=text_of("b"))
    name = stage.stage(world.store, world.engine, asked, False)["name"]
    world.engine.top = [{1: 0, 7: 1}]
    run = world.engine.run

    def stays(arguments, *rest, **options):
        done = run(arguments, *rest, **options)
        world.engine.top = [{1: 0, 7: 1, 8: 1}]
        return done

    world.engine.run = stays
    began = clock.time
    world.host.bring(name)
    assert 30 <= clock.time - began < 32
    assert len(world.mine()) == 1


def test_a_proxy_that_does_not_run_is_said(world):
    world.rollout("a")
    world.engine.made = [c for c in world.engine.made if "web" in c["Name"]]
    world.engine.broken = {"proxy": {"Status": "exited", "ExitCode": 1}}
    with pytest.raises(RolloutError, match="it ended with exit status 1"):
        world.rollout("b")
    assert world.active() == "app-core-web-2"


def test_from_stop_first_the_old_container_makes_room_for_the_proxy(world):
    asked = order(
        "a", text=json.dumps({"services": {"web": {"image": "r/web:sha-aaaaaaa"}}, "x-rollout": {"web": {"window": 0}}})
    )
    name = stage.stage(world.store, world.engine, asked, False)["name"]
    world.host.bring(name)
    result = world.rollout("b")
    assert world.engine.touched == ["stop c1", "rm c1", "up proxy create", "up web beside 0", "exec c2 sh -c kill -USR2 1"]
    assert (row(result)["action"], row(result)["why"]) == ("recreate", "unknown to its proxy")
    assert row(result)["gap"] is not None


def test_and_back_to_stop_first_the_proxy_goes_before_its_port_is_wanted(world):
    world.rollout("a")
    asked = order(
        "b", text=json.dumps({"services": {"web": {"image": "r/web:sha-bbbbbbb"}}, "x-rollout": {"web": {"window": 0}}})
    )
    name = stage.stage(world.store, world.engine, asked, False)["name"]
    world.engine.calls = []
    world.host.bring(name)
    assert world.engine.touched == ["stop c1", "rm c1", "up web recreate"]
    # Compose keeps the name, which the file still has.
    world.engine.made[0]["Name"] = "/" + world.active()
    world.engine.made[0]["HostConfig"] = {"PortBindings": {"80/tcp": [{"HostPort": "8000"}]}}
    result = world.rollout("a")
    assert (row(result)["action"], row(result)["why"]) == ("recreate", "unknown to its proxy")
    assert world.engine.touched[:3] == ["stop c3", "rm c3", "up proxy create"], "it held the port that the proxy wants"


@pytest.mark.parametrize("step", range(8))
def test_killed_anywhere_there_is_one_beside_at_most_and_the_next_run_cleans_up(world, passing, step):
    world.rollout("a")
    world.most, world.dies_at = 0, step
    try:
        world.rollout("b")
    except KeyboardInterrupt:
        pass
    world.dies_at = None
    assert world.ask(FRONT).status == 200, "somebody answers"
    world.rollout("b")
    assert world.most <= 2
    assert [world.release(c) for c in world.mine()] == ["sha-bbbbbbb"]
    assert world.active() == world.mine()[0]["Name"][1:]
    assert world.ask(FRONT).release == "sha-bbbbbbb"


@pytest.mark.parametrize(
    ("spec", "gate", "reason"),
    [
        ({}, {"torch": "cuda"}, "a GPU service is stop-first always, because one card holds one model"),
        ({}, {"drain": {"stop": "http://h/drain"}}, "its key drain speaks to one container, and there are two for a while"),
        (
            {},
            {"start_first": {"proxy": "nginx", "port": 80}},
            "proxy 'nginx' is not a service of this file that is kept (keep: true)",
        ),
        (
            {},
            {"start_first": {"proxy": "web", "port": 80}},
            "proxy 'web' is not a service of this file that is kept (keep: true)",
        ),
        ({}, {"keep": True}, "it is kept, so that no rollout replaces it; keep: false makes it a part of the release"),
        ({"scale": 0}, {}, "it is to have no container"),
        ({"ports": [{"published": "80"}]}, {}, "it publishes port 80 itself, which two containers cannot; let proxy publish it"),
        ({"container_name": "web"}, {}, "it has container_name web, which two containers cannot have"),
        ({"network_mode": "host"}, {}, "it has network_mode host, and no address of its own"),
        ({}, {"health": ["http://127.0.0.1:9/"]}, "none of its health URLs goes to a port that proxy publishes"),
        ({}, {"health": []}, "none of its health URLs goes to a port that proxy publishes"),
    ],
)
def test_where_two_cannot_be_side_by_side_it_is_refused_before_anything_is_touched(world, spec, gate, reason):
    document = json.loads(text_of("a", **gate))
    document["services"]["web"].update(spec)
    with pytest.raises(RolloutError) as error:
        stage.stage(world.store, world.engine, order("a", text=json.dumps(document)), False)
    assert f"docker-compose.core.yml: x-rollout.web.start_first is refused: {reason}" in str(error.value)
    assert str(error.value).endswith("Fix that, or set rollout_strategy: stop_first.")
    assert world.engine.touched == []


def test_killed_between_the_proxys_file_and_its_reload_the_next_run_reloads_before_anything_goes(world, monkeypatch):
    world.rollout("a")
    write = world.store.write_servers

    def killed(*arguments):
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(world.store, "write_servers", killed)
    with pytest.raises(KeyboardInterrupt):
        world.rollout("b")
    monkeypatch.setattr(world.store, "write_servers", write)
    assert world.ask(FRONT).release == "sha-aaaaaaa", "HAProxy still asks the old one, which must stay until it does not"
    world.rollout("b")
    assert world.engine.touched == ["exec c1 sh -c kill -USR2 1", "stop c2", "rm c2"]
    assert [world.release(c) for c in world.mine()] == ["sha-bbbbbbb"]


class TestSeveral:
    """One after the other, none of those that get requests goes before its successor gets them."""

    def test_they_all_get_requests(self, world):
        result = world.rollout("a", 3)
        assert row(result)["action"] == "create"
        reload = "exec c1 sh -c kill -USR2 1"
        assert world.engine.touched == ["up proxy create", reload, *(c for n in range(3) for c in (f"up web beside {n}", reload))]
        assert world.active() == "app-core-web-2 app-core-web-3 app-core-web-4"
        assert not world.host.bring("sha-aaaaaaa")["changed"]

    def test_each_is_replaced_behind_its_gate(self, world):
        world.rollout("a", 3)
        world.most = 0
        result = world.rollout("b", 3)
        assert (row(result)["action"], row(result)["why"], row(result)["gap"]) == ("replace", "image", 0.0)
        assert [world.release(c) for c in world.mine()] == ["sha-bbbbbbb"] * 3
        assert (world.most, world.lost) == (4, [])
        assert [call for call in world.engine.touched if not call.startswith("exec")] == [
            *("up web beside 3", "stop c4", "rm c4"),
            *("up web beside 3", "stop c3", "rm c3"),
            *("up web beside 3", "stop c2", "rm c2"),
        ]

    def test_a_broken_release_gets_no_request_and_goes_away_alone(self, world):
        world.rollout("a", 3)
        world.sick = {"sha-bbbbbbb"}
        with pytest.raises(RolloutError, match="container app-core-web-5: after 5 s"):
            world.rollout("b", 3)
        world.host.bring_back("sha-aaaaaaa")
        assert sorted(c["Id"] for c in world.mine()) == ["c2", "c3", "c4"]
        assert world.lost == []

    @pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 2), (2, 3)])
    @pytest.mark.parametrize("letter", ["a", "b"])
    def test_more_or_fewer(self, world, before, after, letter):
        world.rollout("a", before)
        kept = {c["Id"] for c in world.mine()}
        result = world.rollout(letter, after)
        assert row(result)["action"] == ("replace" if letter == "b" or after == 1 else "scale")
        assert [world.release(c) for c in world.mine()] == ["sha-" + letter * 7] * after
        assert len(world.active().split()) == after
        if letter == "a":
            now = {c["Id"] for c in world.mine()}
            assert now <= kept or kept <= now
        assert world.lost == []

    @pytest.mark.parametrize("back", [False, True])
    @pytest.mark.parametrize("step", range(22))
    def test_killed_anywhere_no_request_is_lost_and_the_next_run_goes_on(self, world, passing, step, back):
        world.rollout("a", 3)
        world.most, world.dies_at = 0, step
        try:
            world.rollout("b", 3)
        except KeyboardInterrupt:
            pass
        world.dies_at = None
        if back:
            world.host.bring_back("sha-aaaaaaa")
        else:
            world.rollout("b", 3)
        assert [world.release(c) for c in world.mine()] == ["sha-aaaaaaa" if back else "sha-bbbbbbb"] * 3
        assert sorted(world.active().split()) == sorted(c["Name"][1:] for c in world.mine())
        assert world.most <= 4
        assert world.lost == []

    def test_killed_between_the_file_and_the_reload_no_request_is_lost(self, world, passing, monkeypatch):
        world.rollout("a", 2)
        write, left = world.store.write_servers, [1]

        def killed(*arguments):
            write(*arguments)
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

        monkeypatch.setattr(world.store, "write_servers", killed)
        with pytest.raises(KeyboardInterrupt):
            world.rollout("b", 2)
        monkeypatch.setattr(world.store, "write_servers", write)
        world.rollout("b", 2)
        assert [world.release(c) for c in world.mine()] == ["sha-bbbbbbb"] * 2
        assert world.lost == []

    def test_a_proxy_that_is_several_itself_is_refused(self, world):
        document = json.loads(text_of("a", 2))
        document["services"]["proxy"].update(scale=2, ports=[{"published": "8000-8001"}])
        with pytest.raises(RolloutError, match="proxy 'proxy' is to have 2 containers"):
            stage.stage(world.store, world.engine, order("a", text=json.dumps(document)), False)
