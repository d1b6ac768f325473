"""The main job from nothing, in minutes: a cluster, a load, the operator beside the real HPA, and what came of it."""
