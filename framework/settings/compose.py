"""A run's configuration: composed from schema, groups, preset, loaded run, YAML file and overrides; saved to YAML."""

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from framework.runs import provenance
from framework.runs.files import atomic_write
from framework.settings.hydra_session import hydra_session
from framework.settings.joyrl.translate import read_settings
from framework.settings.overrides import to_override
from framework.settings.prepare import prepare
from framework.settings.saved_run import named_code
from framework.settings.schema import Config
from framework.settings.yaml_file import YamlFile

log = logging.getLogger("joyride")

__all__ = ["Config", "compose", "config_text", "save_config", "to_override"]


def compose(overrides: Sequence[str] = (), yaml_file: YamlFile | Path | str | None = None) -> Config:
    """The configuration that the command line with the same overrides and --yaml file runs.

    Raises UserError for whatever is wrong with them.
    """
    if isinstance(yaml_file, Path | str):
        yaml_file, _ = read_settings(yaml_file)
    with hydra_session() as hydra:
        job = prepare(hydra, overrides, yaml_file)
    for remark in job.remarks:
        log.warning("note: %s", remark)
    return job.config


def save_config(config: Config, path: Path | str) -> None:
    """Write the three sections, every value resolved, to a YAML file that `compose` can inherit from.

    Code that they name is noted as the user's own. Raises UserError if it cannot be written.
    """
    atomic_write(path, config_text(config).encode())
    code = [name for _, name in named_code(config.settings())]
    if code:
        provenance.sign(Path(path).parent, code)


def config_text(config: Config) -> str:
    """The three sections, every value resolved, as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(config.settings()))
