from __future__ import annotations

import base64
import copy
import functools
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
import run_documents
from ansible.module_utils.rollout.controller.report import page
from hypothesis import given
from hypothesis import strategies as st
from run_documents import NEW, OLD

SCHEMA = json.loads((Path(__file__).parents[5] / "docs/report.schema.json").read_text())
every_run = pytest.mark.parametrize("make", run_documents.ALL.values(), ids=run_documents.ALL)
VOID = {"meta", "link", "br"}


class Structure(HTMLParser):
    """Elements with the names of their attributes, the attributes that say where to, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, ...]] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *(name for name, _value in attrs)))
        self.links += [value for name, value in attrs if name in ("href", "src", "action", "xlink:href", "srcset", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def seen(page: str) -> str:
    return re.sub(r"\s+", " ", Structure(page.replace("</", " </")).text)


@every_run
def test_samples_are_what_the_schema_says(make):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(make())


@pytest.mark.parametrize(
    "wrong",
    [
        {"verdict": "fine"},
        {"good": False},
        {"verdict": "reverted"},
        {"started": "yesterday"},
        {"seconds": -1},
        {"surprise": 1},
        {"schema": 2},
        {"events": [{"host": "h", "service": None, "phase": "nap", "from": 0, "to": 1, "good": True}]},
        {"hosts": [{"name": "h"}]},
    ],
)
def test_the_schema_refuses(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(run_documents.succeeded() | wrong)


@every_run
def test_elements_are_closed_and_nothing_is_fetched(make):
    found = Structure(page.page(make()))
    assert not found.open
    assert {link.partition(",")[0] for link in found.links} <= {"data:image/svg+xml", "#main", "report.json", "../index.html"}
    assert not {"script", "img", "iframe", "form", "object"} & {e[0] for e in found.elements}
    assert not [e for e in found.elements if any(name == "style" or name.startswith("on") for name in e[1:])]
    assert [e[0] for e in found.elements].count("h1") == 1


def test_the_policy_allows_the_style_sheet_that_is_there():
    text = page.page(run_documents.succeeded())
    (css,) = re.findall(r"<style>(.*?)</style>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', text)
    assert html.unescape(policy).startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


def test_every_class_and_colour_that_is_used_is_defined():
    css = (Path(page._TEMPLATES) / "report.css").read_text()
    pages = [page.page(make()) for make in run_documents.ALL.values()]
    used = {name for text in pages for value in re.findall(r' class="([^"]+)"', text) for name in value.split()}
    assert [name for name in used if not re.search(rf"\.{name}\b", css)] == ["service"]
    variables = set(re.findall(r"(--[\w-]+):", css))
    assert set(re.findall(r"var\((--[\w-]+)\)", css)) <= variables


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            "succeeded",
            [
                f"Rollout succeeded {NEW} runs on 4 hosts, every gate held.",
                "2026-11-25 09:10:51 UTC",
                "6 min 33 s",
                "ada@desk",
                "20261125T091051Z-0c9e",
                "ansible-playbook rollback.yml -e sha=aaaaaa1",
                f"core backend recreated (image) {OLD} → {NEW} 4.5 s",
                "waited 2 s for 1 operation",
                "84.1 MB",
                "GeForce RTX 4090",
                "23.0 GiB of 23.5 GiB",
                "580.95.05",
                "-WORKERS=2",
                "+WORKERS=3",
                "Found at the start: gpu: the ledger has a torn line.",
            ],
        ),
        (
            "reverted",
            [
                f"Rollout reverted {NEW} did not pass.",
                "Host workers-c, service backtest-worker-1, gate container Phase switch",
                "it ended with exit status 3.",
                "<no answer> & no patience",
                "Release tried",
                # There and back.
                f"core backend recreated (image) {OLD} → {NEW} 9.4 s",
                "until healthy 5.0 s failed it ended with exit status 3",
            ],
        ),
        (
            "refused",
            [
                "Rollout refused Nothing was touched, what ran before still runs.",
                "Planned change",
                "fail cuda 2.13.0+cpu",
                "torch_is_cpu: torch 2.13.0+cpu (cpu)",
                "Build the image with a GPU build of torch",
            ],
        ),
    ],
)
def test_what_is_said(make, said):
    text = seen(page.page(run_documents.ALL[make]()))
    for words in said:
        assert words in text, words


@pytest.mark.parametrize(
    ("run", "wanted"),
    [
        ({"action": "rollback", "verdict": "revert failed"}, "Rollback revert failed"),
        ({"action": "rollout", "check": True, "verdict": "succeeded"}, "Rollout check succeeded"),
        ({}, "Run unknown"),
    ],
)
def test_title(run, wanted):
    assert page.title(run) == wanted


@pytest.mark.parametrize(
    ("verdict", "wanted"),
    [("succeeded", "good"), ("unchanged", "good"), ("refused", "held"), ("reverted", "held")]
    + [(bad, "bad-end") for bad in ("revert failed", "unknown", "", None, ["?"])],
)
def test_tone(verdict, wanted):
    assert page.tone(verdict) == wanted


def test_what_is_no_text_does_not_show():
    text = page.page({"head": "\x1b[31mred\x1b[0m \x00 \ud800 \u202eback", "notes": ["a\r\nb"]})
    text.encode()
    assert r"\x1b[31mred\x1b[0m \x00 \ud800 \u202eback" in text
    assert "a\nb" in text


def paths(value, path=()):
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(item, (*path, key))


def put(document, path, value):
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value


PATHS = [path for path in paths(run_documents.succeeded()) if path]


@given(st.sampled_from(PATHS), st.sampled_from([None, "", "x", 7, -1.5, True, [], {}, [None], [{}], {"a": 1}]))
def test_any_part_may_be_something_else(path, value):
    # Parts of it are shared by the samples.
    document = copy.deepcopy(run_documents.succeeded())
    put(document, path, value)
    assert not Structure(page.page(document)).open
    page.index([page.summary(document)])


@given(st.sets(st.sampled_from(list(run_documents.succeeded()))))
def test_any_part_may_be_missing(keys):
    text = page.page({key: value for key, value in run_documents.succeeded().items() if key not in keys})
    assert not Structure(text).open


# What breaks out of HTML, of an attribute, of a style sheet or of a template; each has a harmless twin.
HOSTILE = "<>&\"'`=/\\{}%#;:()!-"
TWIN = str.maketrans(HOSTILE, "αβγδεζηθικλμνξοπρστυ"[: len(HOSTILE)])
attacks = st.one_of(
    st.text(HOSTILE + "ab", min_size=1, max_size=30),
    st.sampled_from(
        [
            "</style><script>alert(1)</script>",
            "--></title></svg><img src=x onerror=alert(1)>",
            "{{ 7*7 }}{% raw %}",
            '" onload="alert(1)',
            "javascript:alert(1)",
            "]]><!--",
            "&lt;b&gt;",
        ]
    ),
)


def changed(value, text):
    """The document with the text at the end of each of its texts."""
    if isinstance(value, str):
        return value + text
    if isinstance(value, dict):
        return {key: changed(item, text) for key, item in value.items()}
    return [changed(item, text) for item in value] if isinstance(value, list) else value


@given(st.sampled_from(list(run_documents.ALL)), attacks)
def test_no_text_breaks_out(name, attack):
    document = run_documents.ALL[name]()
    hostile, harmless = (Structure(page.page(changed(copy.deepcopy(document), t))) for t in (attack, attack.translate(TWIN)))
    assert hostile.elements == harmless.elements
    assert hostile.links == harmless.links
    # Nothing is lost either: what one page says, the other says too.
    assert attack in hostile.text
    lists = [Structure(page.index([changed(page.summary(document), t)])) for t in (attack, attack.translate(TWIN))]
    assert lists[0].elements == lists[1].elements
    assert all(not re.match(r"\w+:|/", link) for link in lists[0].links if not link.startswith("data:image/svg+xml,"))


def test_index_lists_runs_newest_first():
    text = page.index([page.summary(make()) for make in run_documents.ALL.values()])
    assert re.findall(r'href="(\w+-\w+/report.html)"', text) == [
        "20261125T101500Z-77aa/report.html",
        "20261125T091051Z-0c9e/report.html",
        "20261125T083002Z-19fe/report.html",
    ]
    assert "2026-11-25 10:15:00 UTC reverted rollout sha-bbbbbb2 1 min 18 s 20261125T101500Z-77aa" in seen(text)


def test_index_of_nothing():
    assert "There was no run yet." in seen(page.index([]))


# What a page must not take for anything but text, wherever it stands.
HOSTILE = st.sampled_from(
    [
        "</title></style></svg></pre><script>alert(1)</script>",
        '" onload="alert(1)" x="',
        "' onclick='alert(1)' style='",
        "javascript:alert(1)",
        "<img src=//x onerror=alert(1)><base href=//x><meta http-equiv=refresh content=0;url=//x>",
        "<!--",
        "{{ 7*7 }}{% raw %}&lt;script&gt;",
        "../../x?y#z",
        "\x1b]52;c;eA==\x07\x9b8m\u202e\ud800\x00",
    ]
)


@pytest.mark.parametrize("name", run_documents.ALL)
@given(data=st.data())
def test_a_text_is_only_text_wherever_it_stands(name, data):
    document = run_documents.ALL[name]()
    leaves = [
        path for path in paths(document) if path and isinstance(functools.reduce(lambda at, key: at[key], path, document), str)
    ]
    clean, attacked = copy.deepcopy(document), copy.deepcopy(document)
    attack = data.draw(HOSTILE | st.text(st.characters(codec=None, categories=None), min_size=1))
    for path in data.draw(st.lists(st.sampled_from(leaves), min_size=1, unique=True)):
        # The same shape of a page: what it shows depends on whether a text is there, and on how many lines it has.
        put(clean, path, "a word" + "\n" * attack.count("\n"))
        put(attacked, path, attack)
    for make in (page.page, lambda one: page.index([page.summary(one)])):
        was, found = Structure(make(clean)), Structure(make(attacked))
        assert not found.open
        assert set(found.elements) <= set(was.elements) | set(Structure(page.page(run_documents.ALL[name]())).elements)
        allowed = ("data:image/svg+xml,", "#main", "report.json", "../index.html")
        assert [
            link for link in found.links if not link.startswith(allowed) and not re.fullmatch(r"[\w.~%-]+/report\.html", link)
        ] == []
        make(attacked).encode()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", make(attacked))


def test_jobs_that_ran():
    run = run_documents.succeeded()
    job = {"stack": "core", "job": "migrate", "code": 0, "seconds": 2.25, "log": "one\n<b>two</b>"}
    run["hosts"][0].update(jobs=[job], backups=["db-1"])
    jsonschema.Draft202012Validator(SCHEMA).validate(run)
    assert f"Jobs Host Job Took Its last lines {run['hosts'][0]['name']} migrate 2.2 s one <b>two</b>" in seen(page.page(run))
    assert "Its last lines" not in page.page(run_documents.succeeded())
