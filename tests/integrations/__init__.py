"""What is outside the package, in integrations."""
