"""What of the Helm chart is rendered from code: the schema of its values, its copy of the CRDs, its dashboards."""
