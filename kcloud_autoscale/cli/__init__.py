"""The kcloud-autoscale command, one file per verb."""
