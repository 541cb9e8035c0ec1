#!/usr/bin/python3 -IS
"""The Python of a compromised host: it answers as the real one does, and then something else.

It goes by several names, each a lie of lies.json: step (or `all`; `module` for Ansible's own way) -> what is done to the answer.
All that it is told is kept beside it, in NAME.heard.
"""

import json
import os
import subprocess
import sys
import time

HERE = "/opt/evil"
NAME = os.path.basename(sys.argv[0])
# Nobody waits that long.
LONG_S = 120


def step(data: bytes) -> dict:
    """The step, as agent/door.py is given it."""
    try:
        return json.loads(data[int(sys.argv[3]) :].partition(b"\n")[0])
    except (IndexError, ValueError):
        return {"step": "module"}


def honest(data: bytes) -> tuple[dict, subprocess.CompletedProcess]:
    """The answer of the real one; empty if that is not an object of JSON."""
    done = subprocess.run(["/usr/bin/python3", *sys.argv[1:]], input=data, capture_output=True)
    try:
        return dict(json.loads(done.stdout.strip().splitlines()[-1])), done
    except (IndexError, TypeError, ValueError):
        return {}, done


def merged(answer: object, lie: object) -> object:
    """The answer with the lie's keys, at every depth."""
    if not (isinstance(answer, dict) and isinstance(lie, dict)):
        return lie
    return {**answer, **{key: merged(answer.get(key), value) for key, value in lie.items()}}


def twisted(answer: object, value: object, depth: int) -> object:
    """The answer with everything at a depth replaced by the value."""
    if isinstance(answer, dict) and depth and answer:
        return {key: twisted(inner, value, depth - 1) for key, inner in answer.items()}
    return value


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> None:
    data = sys.stdin.buffer.read()
    with open(f"{HERE}/{NAME}.heard", "ab") as heard:
        heard.write(data + json.dumps([sys.argv, dict(os.environ)]).encode() + b"\n")
    with open(f"{HERE}/lies.json") as known:
        lies = json.load(known)[NAME]
    asked = step(data)
    lie = lies.get(asked["step"], lies.get("all", {}))
    answer, done = honest(data)
    if not lie or not answer or "no_agent" in answer:
        sys.stdout.buffer.write(done.stdout)
        sys.stderr.buffer.write(done.stderr)
        sys.exit(done.returncode)
    if "keys" in lie:
        answer = merged(answer, lie["keys"])
    if "twist" in lie:
        answer = twisted(answer, lie["twist"], lie.get("depth", 1))
    if "progress" in lie:
        with open(f"{asked['params']['root']}/progress.json", "w") as progress:
            json.dump({"run": asked["params"]["run"], **lie["progress"]}, progress)
        # Until it was looked at.
        time.sleep(2)
    if "text" in lie:
        write(lie["text"])
    elif "huge" in lie:
        write(json.dumps({**answer, "msg": ""})[:-2])
        for _mebibyte in range(lie["huge"]):
            write("x" * 2**20)
        write('"}\n')
    elif "deep" in lie:
        write('{"changed": false, "host": ' + '{"a":' * lie["deep"] + "1" + "}" * lie["deep"] + "}\n")
    elif "drip" in lie:
        ends = time.monotonic() + LONG_S
        while time.monotonic() < ends:
            write(lie["drip"])
            time.sleep(0.5)
    else:
        write(lie.get("before", "") + json.dumps(answer) + "\n" + lie.get("after", ""))


main()
