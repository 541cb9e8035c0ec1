"""Documents of a registry; how they come is tested with the registry."""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import oci

D1 = "sha256:" + "1" * 64


def read(manifest, config):
    """As the registry does."""
    if oci.listed(manifest) is None:
        assert oci.configuration(manifest) == D1
        oci.image(manifest, config)


@pytest.mark.parametrize(
    ("fields", "config", "why"),
    [
        ({"config": None}, {}, "a digest in it is not one of sha256"),
        ({"config": {"digest": "sha512:" + "0" * 128}}, {}, "a digest in it is not one of sha256"),
        ({"config": {"digest": "../../../etc"}}, {}, "a digest in it is not one of sha256"),
        ({"config": "x"}, {}, "config is not a mapping"),
        ({"layers": "x"}, {"os": "linux"}, "layers is not a list"),
        ({"layers": ["x"]}, {"os": "linux"}, "layer is not a mapping"),
        *[
            ({"layers": [{"size": s}]}, {"os": "x"}, "the size of a layer is not a number of bytes")
            for s in ("a", None, 1.5, -1, True)
        ],
        ({"layers": [{"size": 1}]}, {"os": "linux"}, "it has 1 layers and 0 diff_ids"),
        ({}, {"rootfs": {"diff_ids": ["d1"]}}, "a diff_id is not a sha256 digest"),
        ({}, {"rootfs": {"diff_ids": "d1"}}, "diff_ids is not a list"),
        ({}, {"rootfs": []}, "rootfs is not a mapping"),
        ({}, {"os": 7}, "its platform is not a name"),
        ({}, {"architecture": "a\x1b"}, "its platform is not a name"),
        ({}, {"config": []}, "config is not a mapping"),
        ({}, {"config": {"Labels": "x"}}, "Labels is not a mapping"),
        ({"manifests": "x"}, {"os": "linux"}, "manifests is not a list"),
        ({"manifests": ["x"]}, {"os": "linux"}, "entry is not a mapping"),
        ({"manifests": [{"platform": "x"}]}, {"os": "linux"}, "platform is not a mapping"),
        ({"manifests": [{"platform": {"os": "a", "architecture": "b"}}]}, {"os": "linux"}, "a digest in it is not one of sha256"),
    ],
)
def test_what_no_image_can_be(fields, config, why):
    manifest = {"config": {"digest": D1}, "layers": [], **fields}
    with pytest.raises(oci.WrongError) as error:
        read(manifest, config)
    assert str(error.value) == why
