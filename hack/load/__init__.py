"""A load to scale on: demand, a queue that serves it, and the metrics a serving stack would show of both.

Nothing here is known to the operator. It sees this load as it would see any other: through Prometheus and the
Kubernetes API.
"""
