"""The pages tell the truth: commands compose, examples run, files and links exist."""

import logging
import re
import shlex
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from algos.common.errors import UserError
from framework.cli import main
from framework.commands.pages import preset_tables
from framework.commands.sweep import expand
from framework.settings.compose import compose
from framework.settings.hydra_session import hydra_session

ROOT = Path(__file__).resolve().parent.parent
PLACES = (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tasks" / "README.md")
NAMES = sorted(path.relative_to(ROOT).as_posix() for path in PLACES)
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
ELSEWHERE = (  # these need files, machines, or runs of the past
    "CONTRIBUTING.md",
    "docs/cluster.md",
    "docs/joyrl.md",  # test_joyrl_page.py runs it
    "docs/results.md",
)
COMMANDS = sorted(
    {
        line.partition("  #")[0].strip()
        for name, page in PAGES.items()
        if name not in ELSEWHERE
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("python main.py")
    }
)
FORMS = [  # of the command line, fixed
    "python main.py",
    "python main.py --yaml cfg.yaml",
    "python main.py algo_name=PPO algo_cfg.lr=1e-4 seed=3",
    "python main.py mode=test render_mode=rgb_array",
    "python main.py -m seed=1,2,3 algo_cfg.lr=1e-3,1e-4",
    "python main.py mp_backend=ray n_workers=4",
]
SHORT = ["max_env_step=100", "online_eval_episode=1", "progress=off"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's cfg.yaml and a short run."""
    folder = tmp_path_factory.mktemp("readme")
    (file,) = re.findall(r"```yaml\n# cfg.yaml\n(.*?)```", PAGES["README.md"], re.DOTALL)
    (folder / "cfg.yaml").write_text(file, encoding="utf-8")
    assert main([*SHORT, f"tasks_dir={folder / 'tasks'}", "loggers=[]", "save_fig=false"]) == 0
    return folder


def test_the_fixed_forms_are_all_there() -> None:
    assert set(FORMS) <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_line_composes(command: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    words = shlex.split(command)[2:]
    if "-m" in words:
        words.remove("-m")
        with hydra_session() as hydra:
            jobs, *_ = expand(hydra, words)
        assert len(jobs) > 1
        for job in jobs:
            compose([word for word in job if not word.startswith("hydra/")])
    elif any(word.startswith("--") and word != "--yaml" for word in words):
        root = logging.getLogger()
        monkeypatch.setattr(root, "handlers", [*root.handlers])  # Hydra's --info leaves its own there
        monkeypatch.setattr(root, "level", root.level)
        assert main(words) == 0
    elif "--yaml" in words:
        place = words.index("--yaml")
        compose(words[:place] + words[place + 2 :], yaml_file=words[place + 1])
    else:
        compose(words)


def test_yaml_file_of_the_readme_sets_what_it_says(workplace: Path) -> None:
    config = compose(yaml_file=workplace / "cfg.yaml")
    assert (config.general_cfg.algo_name, config.general_cfg.n_envs, config.algo_cfg.lr) == ("PPO", 8, "lin_1e-3")


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_python_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*SHORT, "mode=collect", "save_fig=false"]) == 0  # trajectories for the example that reads them
    for code in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL):
        for long, short in {"20_000": "512", "3_000": "300", "(20)": "(2)"}.items():
            code = code.replace(long, short)
        exec(compile(code, page, "exec"), {})


def test_error_of_the_guide_is_the_real_one() -> None:
    for words, told in re.findall(r"\$ python main.py (.*)\nerror: (.*)\n", PAGES["docs/guide.md"]):
        with pytest.raises(UserError) as error:
            compose(shlex.split(words))
        assert str(error.value) == told


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_exist(page: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES[page]):
        if "://" not in link:
            assert ((ROOT / page).parent / link).exists(), f"{page} links to {link}"
    for name in re.findall(r"`((?:framework|algos|envs|config|docs|tests)/[\w/.]+)`", PAGES[page]):
        assert (ROOT / name).exists(), f"{page} names {name}"


@pytest.mark.parametrize("page", PAGES)
def test_links_to_headings_lead_somewhere(page: str) -> None:
    for link, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", PAGES[page]):
        target = ((ROOT / page).parent / link if link else ROOT / page).read_text(encoding="utf-8")
        headings = [
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in target.splitlines()
            if line.startswith("#")
        ]
        assert anchor in headings, f"{page} links to {link}#{anchor}"


def preset_file(name: str) -> DictConfig:
    """A preset's file over those of the presets that it goes on from."""
    file = OmegaConf.load(ROOT / "config" / "preset" / f"{name}.yaml")
    assert isinstance(file, DictConfig)
    for entry in file.defaults:
        if isinstance(entry, str) and entry.startswith("/preset/"):
            file = OmegaConf.merge(preset_file(entry.removeprefix("/preset/")), file)
    return file


def test_table_of_presets_is_that_of_the_files() -> None:
    folder = ROOT / "config" / "preset"
    paths = [path for path in folder.glob("*/*.yaml") if path.stem != "demos"]  # that has no score
    files = {str(path.relative_to(folder).with_suffix("")) for path in paths}
    rows = re.findall(
        r"^\| `(\w\S*/\w+)`.*\| (\S+) (?:\+- (\S+) )?.*\| ([\d,]+|-) \|$", PAGES["docs/presets.md"], re.MULTILINE
    )
    assert {row[0] for row in rows} == files
    for preset, mean, std, steps in rows:
        expected = preset_file(preset).expected
        limit = None if steps == "-" else int(steps.replace(",", ""))  # an offline one makes none
        assert (expected.mean_reward, expected.get("max_env_step")) == (float(mean), limit)
        assert expected.std == float(std or 0)
    assert preset_tables.main(["--check"]) == 0


def test_columns_of_the_guide_are_those_written() -> None:
    from framework.training.recorder import EPISODES, EVALUATIONS

    for columns in (EPISODES, EVALUATIONS):
        assert ", ".join(f"`{name}`" for name in columns) in PAGES["docs/guide.md"]


@pytest.mark.parametrize("page", [name for name in PAGES if name.endswith(".zh-CN.md")])
def test_translations_have_the_same_code(page: str) -> None:
    def code(name: str) -> list[str]:
        """Blocks and inline code but for their comments, each of which is translated."""
        text = PAGES[name]
        blocks = [re.sub(r" *#.*", "", block) for block in re.findall(r"```\w*\n.*?```", text, re.DOTALL)]
        inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        return [*blocks, *sorted(inline)]

    assert code(page) == code(page.replace(".zh-CN", ""))
