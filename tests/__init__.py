"""The tests, in folders that mirror cachetune's packages; those in ``kernel`` boot a real kernel."""
