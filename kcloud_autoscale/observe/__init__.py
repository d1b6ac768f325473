"""In: Prometheus and the Kubernetes API to one Observation."""
