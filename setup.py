"""What pip installs beside pyproject.toml: every package, and config/ as one inside framework."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["algos*", "envs*", "framework*"]), "framework.config"])
