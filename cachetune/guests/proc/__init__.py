"""Emulators and their threads, as /proc has them."""
