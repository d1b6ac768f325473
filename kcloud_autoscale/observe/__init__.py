"""In: everything a decision rests on, gathered from Prometheus and the API server."""
