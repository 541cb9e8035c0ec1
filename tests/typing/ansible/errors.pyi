class AnsibleConnectionFailure(Exception): ...  # noqa: N818
