#!/usr/bin/env bash
# Pins what requirements/*.in name, for Python 3.11 to 3.13 at once, with hashes and without index addresses. Renovate
# repeats the command that uv writes at the top of a file, and takes options of this form alone.
. scripts/common.sh
cd requirements
lock() { uv pip compile --quiet --universal --generate-hashes --python-version=3.11 "$@"; }
for name in controller app dev others mutation audit; do
    lock "$name.in" --output-file="$name.txt"
done
lock --no-deps collections.in --output-file=collections.txt

# torch-FLAVOUR.txt is the wheel alone, from one index; torch-FLAVOUR-needs.txt what it needs, from the ordinary index. They
# agree with dev.txt and app.txt, which are installed into the same places.
failed=()
for file in torch-*.in; do
    flavour=${file#torch-}
    flavour=${flavour%.in}
    index=() links=()
    if [ "$flavour" != cuda ]; then
        url=${TORCH_INDEX:-https://download.pytorch.org/whl}/$flavour
        # Of that index, the page of torch alone.
        index=("--index-url=$url") links=("--find-links=$url/torch/")
    fi
    if ! lock "${links[@]}" --no-emit-package=torch --constraints=dev.txt --constraints=app.txt "$file" \
        --output-file="torch-$flavour-needs.txt" ||
        ! lock --no-deps "${index[@]}" "$file" --output-file="torch-$flavour.txt"; then failed+=("$flavour"); fi
done
if [ "${#failed[@]}" -gt 0 ]; then die "Not written anew, see uv's messages above: the locks of torch for ${failed[*]}."; fi
