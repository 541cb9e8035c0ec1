"""deploy/environments/local: the specification's commands as they are written there, and image mode."""

import json

import pytest

HEALTHY = '"status":"healthy"'


def services(local, options=""):
    lines = local(f"cd deploy/environments/local && docker compose {options} ps --format json").splitlines()
    return {found["Service"]: found for found in map(json.loads, lines)}


def test_smoke_test_of_the_task(local):
    said = local("""
cd deploy/environments/local
docker compose up -d
curl -s http://localhost:8000/api/v1/health | grep healthy && echo "SUCCESS"
docker compose down
""")
    assert HEALTHY in said
    assert said.endswith("SUCCESS\n")


@pytest.mark.nightly
def test_final_verification(local):
    assert HEALTHY in local("""
cd deploy/environments/local
docker compose up -d
curl http://localhost:8000/api/v1/health
docker compose down
""")


def test_every_service_is_healthy_and_runs_the_development_image(local):
    local("cd deploy/environments/local && docker compose up -d --wait")
    found = services(local)
    assert set(found) == {"db", "backend", "backtest-worker", "training-worker"}
    assert {service["Health"] for service in found.values()} == {"healthy"}
    assert {service["Image"] for name, service in found.items() if name != "db"} == {"ktrdr-backend:dev"}
    torch = "import torch; print(torch.__version__, torch.version.cuda)"
    said = local(f"cd deploy/environments/local && docker compose exec -T training-worker python3 -W ignore -c '{torch}'")
    assert said.strip().endswith("+cpu None")


def test_images_of_ci_with_one_flag(local, answer):
    # The registry is the tests'; without IMAGE_REGISTRY it is ghcr.io/kpiteira.
    files = "-f docker-compose.yml -f docker-compose.images.yml"
    local(f"""
export IMAGE_TAG=sha-aaaaaa1 IMAGE_REGISTRY=localhost:5000
cd deploy/environments/local
docker compose {files} up -d --wait
""")
    images = {name: service["Image"] for name, service in services(local).items() if name != "db"}
    assert images == {
        "backend": "localhost:5000/ktrdr-backend:sha-aaaaaa1",
        "backtest-worker": "localhost:5000/ktrdr-worker-cpu:sha-aaaaaa1",
        "training-worker": "localhost:5000/ktrdr-worker-cpu:sha-aaaaaa1",
    }
    for path in ("8000/api/v1/health", "5003/health", "5005/health"):
        assert answer(path)["release"] == "sha-aaaaaa1"
