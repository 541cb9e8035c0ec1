"""Refusals and failures of the verbs. Together here, since several files of the room say the same."""

from __future__ import annotations

from ansible.module_utils.rollout.errors import Refusal

NOT_PASSED = Refusal(
    "A gate did not hold",
    "Service {service} (stack {stack}) does not pass on {release}: {what}.",
    "look up what follows the colon in the tables below, by the gate that the sentence names",
)
CRASHES = Refusal(
    "Gate container",
    "it crashed and was restarted {times} since it was started, and nothing was switched that could end that",
    "go back to an older stable release. If it was once and is over, `docker restart` of that container begins a new count",
)
NOT_STARTED = Refusal(
    "A gate did not hold",
    "Service {service} (stack {stack}) does not start on {release}: {what}.",
    "look up what follows the colon in the tables below. The release itself was not tried",
)
NOT_REPLACED = Refusal(
    "A gate did not hold",
    "Service {service} (stack {stack}), which still runs {release}, was not replaced: {what}.",
    "look up what follows the colon in the tables below. No other release was tried",
)
CHANGED_SINCE = Refusal(
    "A gate did not hold",
    "Service {service} (stack {stack}) is no longer what was switched: {why}.",
    "find out who restarted or changed that container between its switch and the last look, then roll out again",
)
TORCH_BROKEN = Refusal(
    "Gate torch",
    "torch contract broken: {expected}",
    "look up the code in the last brackets in [GPU and torch](gpu.md)",
)
IMAGE_BROKEN = Refusal(
    "Host",
    "Torch contract broken: image {image}, service {service}: {expected}",
    "look up the code in the last brackets in [GPU and torch](gpu.md)",
)
NO_CARD = Refusal(
    "Host",
    "Service {service} needs the GPU, and this host has none to give to a new container: {evidence} ({reason}). The fault is the "
    "host's. Rolling back will not help: {remedy}",
    "fix the host: the code in the brackets has a section in [GPU and torch](gpu.md). What runs now would lose its card at its "
    "next restart",
)
NO_WAY_BACK = Refusal(
    "Host",
    "Refusing to replace stable release {name}, because it could not be restored if {release} fails: {why}. Roll {name} out "
    "first (ansible-playbook rollout.yml -e {choice}), which stages it again. Or give up the possibility of a rollback: move "
    "{path} away.",
    "roll the stable release out first, or move the ledger away. A missing image is pulled again silently; you see this message "
    "only if the registry no longer has it",
)
EDITED = Refusal(
    "Only in a rollback",
    "Release {name} was edited by hand ({files} in {directory}), so it is not what was proven stable. Restore the files, or "
    "choose another release.",
    "restore the files, choose another release, or roll that release out: it is staged anew as `….2`",
)
STACK_TOO_MANY = Refusal(
    "Only in a rollback",
    "Release {name} has stack {stacks}, which the inventory does not give to this host any more, so no wave would bring it back. "
    "Put it into rollout_stacks again (and the host into its group), or choose another release.",
    "put the stack into `rollout_stacks` again, or choose another release",
)
BARRED = Refusal(
    "Only in a rollback",
    "Release {name} has another {secrets} than {stable}, which runs now. {service} is kept, and has the present one: what goes "
    "back would not be let in. To go back in code alone, with the present environment: ansible-playbook rollback.yml -e {choice} "
    "-e environment=present",
    "type that command; or give the kept service its former secret first, and the inventory too, and roll out",
)
BARRED_SAME = Refusal(
    "Only in a rollback",
    "Release {name} has another {secrets} than {stable}, which runs now. {service} is kept, and has the present one: what goes "
    "back would not be let in. Both have the same code. To go back to earlier code, name it: ansible-playbook rollback.yml -e "
    "sha=… -e environment=present",
    "name a release of earlier code; status.yml lists them",
)
IMAGE_GONE = Refusal(
    "Host",
    "Release {name} cannot run here: image {image} is no longer on this host, and: {why}",
    "let the host reach the registry, or choose another release",
)
DAMAGED = Refusal(
    "The guard",
    "Release {release} cannot be brought back by its files: {damage} Its containers were started again as they are.{down} "
    "Restore the files, or roll out again: ansible-playbook rollout.yml -e sha=…",
    "restore the files from a backup, or roll out: somebody or a power cut damaged them",
)
FILES_EMPTY = Refusal(
    "The guard",
    "{files} of it is empty or gone.",
    "restore the file from a backup, or roll out: somebody or a power cut damaged it",
)
FILES_EDITED = Refusal(
    "The guard",
    "{files} of it is not as it was staged, and: {why}",
    "restore the file from a backup, or roll out: somebody or a power cut damaged it",
)
NOT_BACK = Refusal(
    "The guard",
    " Not back, because the run had replaced or removed their containers: {services}.",
    "roll out: what it names runs the release that was left, or not at all",
)
ENGINE_WENT = Refusal(
    "The engine and the ledger of a host",
    "The Docker engine ended while gates were held, again and again. Look at its log: journalctl --unit docker.",
    "look at `journalctl --unit docker`: it crashes, or somebody restarts it",
)
LOCK_CHANGING = Refusal(
    "Locks",
    "Somebody has been changing the lock of this host for over 30 s: fuser {path} names the process.",
    "type `fuser` with the file that it names: a process hangs there",
)
STILL_RUNNING = Refusal(
    "Locks",
    "It is still running on this machine (pid {process}): {who}. Stop it first (kill {process}; it then reports what it "
    "changed), or wait for it to finish. -e force=true removes its lock all the same; the run then stops at its next step.",
    "stop that run with `kill`, or wait for it; `-e force=true` removes its lock all the same",
)
NO_GUARD = Refusal(
    "Locks",
    "The guard of this host does not start: python3 {program} says why. Without it nothing is switched.",
    "run that command on the host",
)
NOT_MOVED = Refusal(
    "Gate proxy",
    "{seconds:.0f} s after its proxy {proxy} was told to reload, {url} is not answered by the new container ({said}, from "
    "{container}); whether HAProxy took its configuration, its log says (docker compose logs {proxy})",
    "look at HAProxy's log; requests still go to the old container",
)
TOO_LATE = Refusal(
    "Gate health",
    "after {seconds:.0f} s (its deadline is {deadline:.0f} s) it still waits for {what}",
    "read what it waits for in the rows above. If the start is only slow, give it a longer `deadline` in `x-rollout`",
)
NO_PROXY = Refusal(
    "Gate proxy",
    "its proxy {proxy} does not run; its log says why (docker compose logs {proxy})",
    "look at that container's log; the old container of the service still runs",
)
LEFT_RUNNING = Refusal(
    "Gate drain",
    "{why}. It was left running and takes work again",
    "see [work that is not done yet](#work-that-is-not-done-yet)",
)
LEFT_DRAINING = Refusal(
    "Gate drain",
    "{why}. It {left}",
    "restart that container: it registers again and takes work",
)
NO_AUTHORITY = Refusal(
    "Host",
    "Service {service} (stack {stack}) has ca {path}, which cannot be used on this host: {why}. Put the PEM file of the CA "
    "there, or correct the path.",
    "put the CA's PEM file there, readable for the user of the runs, or correct `ca` of the gate",
)
NOT_RESUMED = Refusal(
    "Work that is not done yet",
    "could not be told to take work again: {trouble}. Restart it",
    "restart that container: it was left draining, by this run or an interrupted one",
)
NO_STABLE = Refusal(
    "Drift",
    "{service} runs, but the ledger knows no stable release",
    "roll out: the release was never confirmed here, or the ledger was moved away",
)
NOT_OURS = Refusal(
    "Drift",
    "belongs to a stack that the inventory does not give to this host any more. To remove it (volumes are kept), run there: "
    "docker compose --project-name {project} down",
    "type `docker compose --project-name … down` there, or put the stack back: it left `rollout_stacks`, or the host left its "
    "group, so no run switches it",
)
FILE_EDITED = Refusal(
    "Drift",
    "{file} was edited by hand",
    "roll out again: the release is staged again beside the directory that was changed",
)
OTHER_RELEASE = Refusal(
    "Drift",
    "runs {release}; {stable} is stable",
    "roll out again: a run was interrupted",
)
NOT_HEALTHY = Refusal(
    "Drift",
    "not healthy: {why}",
    "look at the service's log: its health URL, or Docker's health check, says so now",
)
RESTARTED = Refusal(
    "Drift",
    "crashed, and the engine restarted it, {times} since it was started{said}",
    "go back to an older stable release, as the advice on the screen says. If it was once and is over, `docker restart` of that "
    "container begins a new count, as a reboot and a restart of the engine do",
)
TORCH_WRONG = Refusal(
    "Drift",
    "torch: {found}. {remedy}",
    "see [GPU and torch](gpu.md): the torch in the container is not what it should be",
)
NOT_RELEASED = Refusal(
    "Drift",
    "is not part of the release",
    "roll out again: it is removed, because the compose file does not have it",
)
TWO_CONTAINERS = Refusal(
    "Drift",
    "has {why}",
    "roll out again",
)
NEIGHBOUR_REPLACED = Refusal(
    "Drift",
    "goes {why}, whose container has been or will be replaced",
    "roll out again: it shares that service's network, or depends on it with `restart`",
)
NO_CONTAINER = Refusal(
    "Drift",
    "has no container",
    "roll out again: it was removed by hand",
)
OTHER_IMAGE = Refusal(
    "Drift",
    "runs another image than the release's",
    "roll out again: it was started by hand",
)
OTHER_CONFIGURATION = Refusal(
    "Drift",
    "runs with another configuration than the release's",
    "roll out again: it was started by hand",
)
STOPPED = Refusal(
    "Drift",
    "is {state}",
    "roll out again: it was stopped (`exited`, `created`, `paused`, …)",
)
OLD_STAYS = Refusal(
    "Disk",
    "Old release {name} stays: {why}",
    "fix what follows the colon; the release is stable all the same",
)
NOT_OURS_INSIDE = Refusal(
    "Disk",
    "Old release {name} stays: {path} holds {files}, which no rollout wrote. Move {files} to a place of their own, and use an "
    "absolute path or a named volume.",
    "move what is yours, or nothing is pruned there: a mount with a relative path, or a file of yours. The release is stable all "
    "the same",
)
NOT_PRUNED = Refusal(
    "Disk",
    "Old releases are still there: {why}",
    "remove what is in the way, which the sentence names; the next run tries again. The release is stable all the same",
)
NEIGHBOUR_AT_WORK = Refusal(
    "Disk",
    "the application whose state is in {path} is between two releases, and may need their images. The next run removes them.",
    "go on: another application's run is at work on that host, or its guard is armed",
)
OF_SOMEBODY_ELSE = Refusal(
    "Disk",
    "another user's application shares this engine's images, so which ones it needs cannot be known: {path}. ({why})",
    "roll both applications out as the same user, or remove old images by hand (`docker image rm`)",
)
UNSET = Refusal(
    "Compose file and environment",
    "{files}: not set: {names}. Compose would use an empty value. Set it in rollout_stacks.{stack}.environment or "
    ".secrets, give it a default in the file (${{NAME:-}}), or name it in rollout_stacks.{stack}.allow_unset.",
    "set the variable; a default in the file, or `allow_unset`, says that empty is meant",
)
UNRESOLVED = Refusal(
    "Compose file and environment",
    "Service {service} uses image {image}, which is neither on this host nor was it found in its registry (found: {resolved}).",
    "push the image, correct its name in the file, or pull it on that host",
)
READ_OTHERWISE = Refusal(
    "Compose file and environment",
    "Compose reads stack {stack} otherwise where it lies ({path}) than before: something there is read that does not belong to "
    "the release, or docker may not read it (as a snap it may not).",
    "look for files with absolute paths in `include`, `extends` or `env_file`. Install Docker Engine from docker.com instead of "
    "a snap",
)
NOWHERE_ELSE = Refusal(
    "Host",
    "Image {image} is gone from this host, and no registry has it: it was built here. Build it again, or push it.",
    "build it there again, or push it to a registry and name that in the file",
)
KEPT_DIFFERS = Refusal(
    "Drift",
    "kept, and not as the release has it: {what}. To bring it: ansible-playbook rollout.yml -e {choice} -e replace={service}",
    "type it when a restart of that service suits you; or let the file say what runs",
)
UNPROVEN = Refusal(
    "Drift",
    "ran before the first release, and is not proven to be what its files say ({what}). To recreate it: ansible-playbook "
    "rollout.yml -e {choice} -e replace={service}",
    "type it when a restart of that service suits you",
)
IS_KEPT = Refusal(
    "Notes",
    "{service} is kept{because}: it is started where it is absent, and never restarted. keep: false under its services changes "
    "that",
    "nothing, if that is right; otherwise set `keep` of that service to false",
)
IS_BUILT = Refusal(
    "Notes",
    "{service} has build: beside image: {image}; a rollout builds nothing, and runs the image",
    "nothing, if that image was built and pushed",
)
IS_DATA = Refusal(
    "Notes",
    "./{path} is data: it lies in {place} (rollout_stacks.{stack}.data names another folder)",
    "nothing, if it is new. If the application ran before from another folder, name that in `data`",
)
HAS_MOVED = Refusal(
    "Notes",
    "{image} means another image by now; to bring it, add -e refresh={image}{more}",
    "type it when it suits you: it is gated, and can be rolled back",
)
NETWORK_KEPT = Refusal(
    "What a stack needs of its host",
    "{file}: network {key} ({name}) changes ({differences}), for which what is on it must stop, also what is kept: {services}. "
    "To restart that with the network, add -e replace={replace}; or leave the network as it is.",
    "add that to the command when a restart of these services suits you",
)
NETWORK_SHARED = Refusal(
    "What a stack needs of its host",
    "{file}: network {key} ({name}) changes ({differences}), and containers that are not of this stack are on it: {containers}. "
    "Stop them, or leave the network as it is.",
    "take them off the network (`docker network disconnect`), or stop them for the time of the rollout",
)
NETWORK_DIFFERS = Refusal(
    "Drift",
    "{network} is not what the release says",
    "roll out again: the network is made anew, and what is on it restarted. Or find out who changed it",
)
VOLUME_DIFFERS = Refusal(
    "Drift",
    "volume {name} is not what the release says: {differences}",
    "no rollout changes a volume: write in the file what it has, or move the data into a new one",
)
NEVER_RELEASED = Refusal(
    "Drift",
    "no release was ever confirmed here, and nothing runs: {path} has no ledger that says otherwise (rollout_dir names it)",
    "roll out; or correct `rollout_dir`, if the application has its state in another directory",
)
OF_ANOTHER = Refusal(
    "Drift",
    "{path} (rollout_dir) holds the state of application {owner}, not of {application}: nothing is known of {application} here",
    "correct `rollout_dir` or `rollout_application`",
)
BEGINS_EMPTY = Refusal(
    "Notes",
    "The next containers of {service}, which has several, begin with what the image has in {paths}: volumes without a name are "
    "carried over to a single container alone. Those of the containers before stay on the host (docker volume ls)",
    "nothing, if that is right. Otherwise mount a named volume there",
)
CARRIED = Refusal(
    "Notes",
    "{service} keeps what the container before it wrote to {paths}: volumes without a name are carried over. With anonymous: "
    "renew among its keys it begins with what the new image has there",
    "nothing, if that is right. Otherwise set `anonymous: renew`, or mount a named volume there",
)
