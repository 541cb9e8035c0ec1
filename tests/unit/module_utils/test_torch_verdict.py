from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout import torch_verdict
from ansible.module_utils.rollout.torch_verdict import (
    FAIL,
    PASS,
    REASONS,
    UNKNOWN,
    judge,
    read_probe,
    sentence,
)
from hypothesis import given
from hypothesis import strategies as st

CPU = {"version": "2.5.1+cpu", "cuda": None, "hip": None, "cudnn": None, "arch_list": []}
CUDA = {"version": "2.5.1+cu124", "cuda": "12.4", "hip": None, "cudnn": 90100, "arch_list": ["sm_90"]}
ROCM = {"version": "2.5.1+rocm6", "cuda": None, "hip": "6.2", "cudnn": None, "arch_list": []}
WELL = {"kernel_ok": True, "max_abs_err": 0.0}
CARD = {"name": "NVIDIA RTX 3090", "kernel_ok": True, "max_abs_err": 2e-5, "error": None}
ANSWERED = {"timed_out": False, "exit_status": 0, "answered": True, "stderr": ""}


def probe(torch=None, child=None, **facts):
    return {
        "torch": torch,
        "cpu": WELL if torch else None,
        "devices": [],
        "import_error": None,
        "cuda_error": None,
        "warnings": [],
        "runtime": {"device_nodes": []},
        "duration_ms": 7,
        "child": {**ANSWERED, **(child or {})},
        **facts,
    }


def card(**facts):
    return probe(CUDA, devices=[{**CARD, **facts}])


NODES = {"device_nodes": ["/dev/nvidia0"]}
OOM = "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"
CASES = [
    # expected, probe, error, verdict, reason, fault, observed
    ("absent", probe(), "", PASS, "ok", None, "no torch"),
    ("absent", probe(CPU), "", FAIL, "torch_present", "image", "torch 2.5.1+cpu"),
    (
        "absent",
        probe(import_error="ImportError: libcudart"),
        "",
        FAIL,
        "torch_present",
        "image",
        "torch, broken",
    ),
    ("cpu", probe(CPU), "", PASS, "ok", None, "torch 2.5.1+cpu (cpu)"),
    ("cpu", probe(), "", FAIL, "torch_missing", "image", "no torch"),
    ("cuda", probe(), "", FAIL, "torch_missing", "image", "no torch"),
    ("cpu", probe(CUDA), "", FAIL, "torch_is_cuda", "image", "torch 2.5.1+cu124 (cuda)"),
    ("cpu", probe(ROCM), "", FAIL, "torch_is_rocm", "image", "torch 2.5.1+rocm6 (rocm)"),
    ("cuda", probe(CPU), "", FAIL, "torch_is_cpu", "image", "torch 2.5.1+cpu (cpu)"),
    ("cuda", probe(ROCM), "", FAIL, "torch_is_rocm", "image", "(rocm)"),
    (
        "cpu",
        probe(import_error="OSError: libcublas.so.12"),
        "",
        FAIL,
        "import_failed",
        "image",
        "libcublas.so.12",
    ),
    (
        "cpu",
        probe(CPU, cpu={"kernel_ok": False, "error": "RuntimeError: x"}),
        "",
        FAIL,
        "kernel_failed",
        "image",
        "x",
    ),
    ("cpu", probe(CPU, cpu=None), "", FAIL, "kernel_failed", "image", "no result"),
    (
        "cpu",
        probe(CPU, cpu={"kernel_ok": True, "max_abs_err": 3.0}),
        "",
        FAIL,
        "wrong_result",
        "host",
        "off by 3.0",
    ),
    (
        "cpu",
        probe(CPU, cpu={"kernel_ok": True, "max_abs_err": float("nan")}),
        "",
        FAIL,
        "wrong_result",
        "host",
        "nan",
    ),
    ("cpu", probe(CPU, cpu={"kernel_ok": True}), "", FAIL, "wrong_result", "host", "None"),
    (
        "cpu",
        probe(CPU, cpu={"kernel_ok": True, "max_abs_err": False}),
        "",
        FAIL,
        "wrong_result",
        "host",
        "False",
    ),
    (
        "cpu",
        probe(CPU, cpu={"kernel_ok": "yes", "max_abs_err": 0}),
        "",
        FAIL,
        "kernel_failed",
        "image",
        "no result",
    ),
    ("cuda", card(), "", PASS, "ok", None, "torch 2.5.1+cu124 (cuda) on NVIDIA RTX 3090"),
    ("cuda", card(max_abs_err=0.02), "", PASS, "ok", None, ""),
    ("cuda", card(max_abs_err=0.2), "", FAIL, "wrong_result", "host", "off by 0.2"),
    ("cuda", card(max_abs_err=-1.0), "", FAIL, "wrong_result", "host", "off by -1.0"),
    (
        "cuda",
        card(kernel_ok=False, error="RuntimeError: no kernel image is available"),
        "",
        FAIL,
        "kernel_failed",
        "image",
        "no kernel image is available",
    ),
    ("cuda", card(kernel_ok=False, error=OOM), "", UNKNOWN, "out_of_memory", "stack", "out of memory"),
    (
        "cuda",
        probe(CUDA, devices=[CARD, {**CARD, "kernel_ok": False}]),
        "",
        FAIL,
        "kernel_failed",
        "image",
        "no result",
    ),
    ("cuda", probe(CUDA), "", FAIL, "no_device", "stack", "no device"),
    (
        "cuda",
        probe(CUDA, cuda_error="RuntimeError: No CUDA GPUs are available"),
        "",
        FAIL,
        "no_device",
        "stack",
        "No CUDA",
    ),
    (
        "cuda",
        probe(CUDA, cuda_error="RuntimeError: driver too old", runtime=NODES),
        "",
        FAIL,
        "cuda_unavailable",
        "host",
        "driver too old",
    ),
    (
        "cpu",
        probe(child={"timed_out": True, "answered": False}),
        "",
        FAIL,
        "hang",
        "host",
        "no answer in time",
    ),
    ("cpu", probe(CPU, child={"timed_out": True}), "", FAIL, "hang", "host", "no answer in time"),
    (
        "absent",
        probe(child={"timed_out": True, "answered": False}),
        "",
        FAIL,
        "hang",
        "host",
        "no answer in time",
    ),
    (
        "cpu",
        probe(child={"answered": False, "exit_status": -6, "stderr": "a\nAborted\n"}),
        "",
        FAIL,
        "crashed",
        "image",
        "exit status -6: Aborted",
    ),
    (
        "absent",
        probe(child={"answered": False, "exit_status": 0}),
        "",
        FAIL,
        "crashed",
        "image",
        "exit status 0",
    ),
    (
        "cpu",
        None,
        'exec: "python3": executable file not found in $PATH',
        FAIL,
        "no_python",
        "image",
        "not found",
    ),
    ("cpu", None, "stat /x/python: no such file or directory", FAIL, "no_python", "image", "no such file"),
    ("absent", None, "[Errno 2] No such file or directory", UNKNOWN, "no_answer", None, "No such file"),
    ("absent", None, "", UNKNOWN, "no_answer", None, "no answer"),
    ("cuda", None, "Read timed out", UNKNOWN, "no_answer", None, "Read timed out"),
    ("cpu", {"child": "x"}, "", UNKNOWN, "no_answer", None, "an answer that cannot be read"),
]


@pytest.mark.parametrize(("expected", "document", "error", "verdict", "reason", "fault", "observed"), CASES)
def test_cases(expected, document, error, verdict, reason, fault, observed):
    found = judge(document, expected, error)
    assert (found["verdict"], found["reason"], found["fault"]) == (verdict, reason, fault)
    assert observed in found["observed"]
    assert found["remedy"] == REASONS[reason][1]
    assert bool(found["remedy"]) == (reason != "ok")


def test_every_reason_has_a_case():
    assert {case[4] for case in CASES} == set(REASONS)


def test_checks_say_what_was_expected_and_what_was_found():
    assert judge(card(), "cuda")["checks"] == [
        {"id": "flavour", "status": PASS, "expected": "cuda", "observed": "torch 2.5.1+cu124 (cuda)"},
        {"id": "device", "status": PASS, "expected": "a CUDA device", "observed": "1 devices"},
        {"id": "kernel NVIDIA RTX 3090", "status": PASS, "expected": "a product", "observed": "done"},
        {"id": "result NVIDIA RTX 3090", "status": PASS, "expected": "within 0.1", "observed": "2e-05"},
    ]


@pytest.mark.parametrize("case", [c for c in CASES if c[3] != PASS])
def test_what_does_not_pass_has_a_failed_check_or_no_answer(case):
    found = judge(case[1], case[0], case[2])
    assert any(c["status"] == FAIL for c in found["checks"]) or found["reason"] in ("no_answer", "no_python")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "kernel_ok",
                    "max_abs_err",
                    "error",
                    "version",
                    "cuda",
                    "hip",
                    "answered",
                    "timed_out",
                    "stderr",
                    "device_nodes",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["torch", "cpu", "devices", "child", "runtime", "import_error", "cuda_error", "warnings"]),
        json_values,
    ),
    st.sampled_from(torch_verdict.EXPECTATIONS),
)
def test_unknown_is_never_a_pass(document, expected):
    found = judge(document, expected)
    if found["verdict"] == PASS:
        assert document["child"]["answered"]
        assert not document["child"].get("timed_out")
        if expected == "absent":
            assert not document.get("torch")
            assert not document.get("import_error")
        else:
            facts = document["devices"] if expected == "cuda" else [document["cpu"]]
            assert facts
            assert all(f["kernel_ok"] is True and 0 <= f["max_abs_err"] <= 0.1 for f in facts)


@given(
    st.sampled_from([("absent", None), ("cpu", CPU), ("cuda", CUDA)]),
    st.floats(0, 0.05),
    st.lists(st.text(max_size=9), max_size=3),
    st.integers(0, 10**6),
    st.text(max_size=20),
)
def test_healthy_is_never_called_broken(kind, difference, warnings, duration, noise):
    expected, torch = kind
    document = probe(torch, child={"stderr": noise}, warnings=warnings, duration_ms=duration)
    document["cpu"] = {"kernel_ok": True, "max_abs_err": difference} if torch else None
    document["devices"] = [{**CARD, "max_abs_err": difference}] if expected == "cuda" else []
    assert judge(document, expected)["verdict"] == PASS


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("", None),
        ("torch says hello\n", None),
        ("ROLLOUT-PROBE {\n", None),
        ("ROLLOUT-PROBE [1]\n", None),
        (" ROLLOUT-PROBE {}\n", None),
        ('noise\nROLLOUT-PROBE {"a": 1}\n', {"a": 1}),
        ('ROLLOUT-PROBE {"a": 1}\nROLLOUT-PROBE {"a": 2}\nnoise', {"a": 2}),
    ],
)
def test_read_probe(text, document):
    assert read_probe(text) == document


@given(st.text(), st.text())
def test_read_probe_out_of_garbage(before, after):
    line = "ROLLOUT-PROBE " + json.dumps(probe(CPU))
    assert read_probe(f"{before}\n{line}\n{after}") == probe(CPU)


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (
            ("absent", probe(CPU)),
            "x: expected no torch, found torch 2.5.1+cpu (torch_present). The fault is the image's. "
            "Deploy the image without torch: this is probably a worker's image on the backend.",
        ),
        (
            ("cuda", None),
            "x: expected torch for cuda, found no answer (no_answer). Run the check again; if it stays, run "
            "`python -c 'import torch'` in the container by hand.",
        ),
        (("cpu", probe(CPU)), "x: expected torch for cpu, found torch 2.5.1+cpu (cpu) (ok)."),
    ],
)
def test_sentence(case, text):
    assert sentence(judge(case[1], case[0]), "x") == text
