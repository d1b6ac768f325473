"""What developers and tests use around the package: a local cluster, a load, scripts. None of it is shipped."""
