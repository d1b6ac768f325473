"""What users write: the kcloud.io/v1alpha1 kinds."""
