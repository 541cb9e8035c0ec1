#!/usr/bin/env bash
# venv.sh PYTHON: makes .venv with that interpreter.
. scripts/common.sh
python=$1
command -v "$python" > /dev/null ||
    die "There is no $python on this machine: install Python 3.11 to 3.13, or name one (make PYTHON=python3.12 …)."
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
    3.11 | 3.12 | 3.13) ;;
    *) die "Python $version is not supported: use 3.11 to 3.13 (make PYTHON=python3.12 …)." ;;
esac
# Debian and Ubuntu keep the venv module in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
    case $("$python" -c 'import sys; print(sys.executable)') in
        /usr/bin/*) apt_install "python$version-venv" ;;
        *) die "$python has no venv module: install the one that belongs to it, or name another (make PYTHON=python3.12 …)." ;;
    esac
fi
# A half-made one would be taken for a whole one by the next run.
"$python" -m venv .venv || { rm -rf .venv; die "$python could not make .venv: see its message above."; }
