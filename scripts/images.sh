#!/usr/bin/env bash
# Builds the three images at one commit and pushes them. SHA names the commit (default: HEAD), LATEST=0 leaves the tag
# latest where it is.
. scripts/common.sh
# shellcheck source=/dev/null
. "$cache/base.env"
SHA=${SHA:-$(git rev-parse --short=7 HEAD 2> /dev/null || true)}
[[ $SHA =~ ^[0-9a-f]{7,40}$ ]] || die "SHA '$SHA' is not a commit: give 7 to 40 characters 0-9 a-f (make images SHA=abc1234)."
revision=$(git rev-parse --verify --quiet "$SHA^{commit}" || echo "$SHA")
# The commit's time, so that the same commit gives the same image.
created=$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd "$revision" 2> /dev/null || echo 1970-01-01T00:00:00Z)
if [ -z "${SHA_GIVEN:-}" ] && [ -n "$(git status --porcelain -- ktrdr requirements/app.txt 'requirements/torch-*.txt' deploy/docker 2> /dev/null)" ]; then
    say "Note: the working tree differs from commit $SHA; the images hold what is on disk."
fi
arguments=(--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --build-arg "REVISION=$revision" --build-arg "VERSION=sha-$SHA"
    --build-arg "CREATED=$created")
for image in ktrdr-backend ktrdr-worker-cpu ktrdr-worker-gpu; do
    file=deploy/docker/Dockerfile.${image#ktrdr-}
    extra=() torch=
    case $image in
        ktrdr-worker-cpu) torch=cpu ;;
        ktrdr-worker-gpu) torch=cuda ;;
    esac
    if [ "$image" = ktrdr-worker-gpu ] && [ ! -e /proc/driver/nvidia/version ] && [ "${CUDA:-0}" != 1 ]; then
        say "No NVIDIA driver here: $image is built with CPU torch, a simulated GPU image (CUDA=1 builds the real one)."
        torch=cpu
        extra+=(--build-arg TORCH=cpu --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu)
    fi
    # That image holds CPU wheels alone.
    if [ "$torch" = cpu ] && [ -n "$TORCH_WHEELS" ]; then extra+=(--build-arg "TORCH_WHEELS=$TORCH_WHEELS"); fi
    build "$REGISTRY/$image:sha-$SHA" "$file" . "${arguments[@]}" "${extra[@]}"
    docker push --quiet "$REGISTRY/$image:sha-$SHA" > /dev/null || die "Image $image:sha-$SHA could not be pushed to $REGISTRY."
    if [ "${LATEST:-1}" = 1 ]; then
        docker tag "$REGISTRY/$image:sha-$SHA" "$REGISTRY/$image:latest"
        docker push --quiet "$REGISTRY/$image:latest" > /dev/null
    fi
    say "$REGISTRY/$image:sha-$SHA"
done
