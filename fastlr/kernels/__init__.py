"""Fused replacements for functions of the core, reached through a backend. Importing this loads no compiler."""
