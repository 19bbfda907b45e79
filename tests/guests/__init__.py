"""Tests of cachetune/guests."""
