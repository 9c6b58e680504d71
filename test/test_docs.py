"""What README.md and docs/ say: links lead somewhere, names exist, words are today's."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from stc_ros.parameters import METHODS, parameters
from tools.parameters_page import page

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', ROOT / 'CHANGELOG.md', *sorted((ROOT / 'docs').glob('*.md'))]
OLD_NAMES = {'CHANGELOG.md', 'laboratory.md'}  # they tell of what was
GENERATED = {'performance.md', 'quality.md'}  # by the benchmarks, with their commands
USER_PAGES = [p for p in PAGES if p.name not in OLD_NAMES]
INTERFACES = [*(f for kind in ('msg', 'srv', 'action', 'launch', 'config') for f in sorted((ROOT / kind).glob('*.*')))]

RETIRED = """
heartbeat newest_whole newest-whole compact_positions novelty_balance novelty_history narration_certainty
recompute_limit recompute_burst refresh_period frames_seen seen_rate frames_refused asks_waiting gate_ms
tokens_recomputed image_transport memory_mib ask_timeout ask_queue overlay_rate narration_period narration_prompt
standstill Sight Knob KNOBS SharedRecall Telling mailbox witness
""".split()  # house.md's table, and what CHANGELOG.md lists  # noqa: SIM905
RETIRED_HERE = re.compile(r'(?<!\w)(?:' + '|'.join(RETIRED) + r')(?!\w)|\blooked at\b')
GROUPS = 'cacher|pruner|memory|narration|query|watch|input|overlay|model|expert'
PARAMETER = re.compile(rf'(?<![\w/.`]\.)(?<![\w/.])(?:{GROUPS})(?:\.[a-z_0-9]+)+\b(?!\()')


def named(paths):
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in paths]


@pytest.mark.parametrize('path', named(PAGES))
def test_links_lead_to_files_and_headings(path):
    for link in re.findall(r'\]\(([^)\s]+)\)', without_code(path.read_text())):
        if re.match(r'[a-z]+:', link):
            continue
        file, _, anchor = link.partition('#')
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f'{path.name} links to {link}, which is not there'
        if anchor:
            assert anchor in anchors(target), f'{path.name} links to {link}, a heading that is not there'


@pytest.mark.parametrize('path', named([*USER_PAGES, *INTERFACES]))
def test_no_retired_word_stands_in_what_users_read(path):
    found = sorted({match.group() for match in RETIRED_HERE.finditer(path.read_text())})
    assert not found, f'{path.name} says {", ".join(found)}'


def test_no_retired_word_stands_in_the_text_of_a_parameter_or_method():
    texts = [f'{spec.name}: {spec.text}' for spec in parameters().values()]
    texts += [f'{kind} {part.name}: {part.text}' for kind, registry in METHODS.items() for part in registry]
    assert not [text for text in texts if RETIRED_HERE.search(text) or re.search(r'\btold\b', text)]


@pytest.mark.parametrize('folder', ['stc_ros/engine', 'stc_ros/io', 'stc_ros/models', 'stc_ros/ros', 'demo'])
def test_no_retired_word_stands_in_a_message(folder):
    """In string constants, that is; docstrings and comments are for those who read the code."""
    found = []
    for path in sorted((ROOT / folder).rglob('*.py')):
        tree = ast.parse(path.read_text())
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                found += [f'{path.name}: {m.group()}' for m in RETIRED_HERE.finditer(node.value)]
    assert not found


def test_parameters_page_is_todays():
    text = (ROOT / 'docs' / 'parameters.md').read_text()
    assert page(text) == text, 'write it anew: ./dev run python tools/parameters_page.py'


@pytest.mark.parametrize('path', named(p for p in USER_PAGES if p.name not in GENERATED))
def test_parameters_that_are_named_exist(path):
    found = {name for name in PARAMETER.findall(path.read_text()) if '.bright' not in name}
    known = {*parameters(), *(f'{kind}.method' for kind in METHODS)}
    unknown = {name for name in found if name not in known and not name.endswith(('.py', '.png', '.webp'))}
    assert not unknown


@pytest.mark.parametrize('path', named(p for p in USER_PAGES if p.name not in GENERATED))
def test_commands_that_are_named_exist(path):
    dev, text = (ROOT / 'dev').read_text(), path.read_text()
    for command in re.findall(r'\./dev ([a-z][a-z-]*)', text):
        assert re.search(rf'^  {command}\)', dev, re.M), f'./dev {command}'
    for name in re.findall(r'\./dev bench (\w+)', text):
        assert (ROOT / 'benchmarks' / f'{name}.py').is_file(), f'./dev bench {name}'
    for script in re.findall(r'\b(?:tools|benchmarks)/\w+\.py', text):
        assert (ROOT / script).is_file(), script


def test_every_page_is_in_the_navigation():
    site = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())
    listed = {file for entry in site['nav'] for file in entry.values()} | set(site['not_in_nav'].split())
    assert listed == {p.name for p in (ROOT / 'docs').glob('*.md')}


def test_the_python_that_is_shown_runs():
    first, *others = blocks(ROOT / 'docs' / 'python.md')
    frames = [np.full((60, 80, 3), 80 * i, np.uint8) for i in range(3)]
    exec(first, names := {'camera': [(1 + i, frame) for i, frame in enumerate(frames)]})
    assert names['report'].patches and names['stream'].stats().answers == 1
    for code in others:  # what they import is there
        imports = [n for n in ast.parse(code).body if isinstance(n, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), 'python.md', 'exec'), {})


def blocks(path: Path) -> list[str]:
    return re.findall(r'```python\n(.*?)```', path.read_text(), re.S)


def without_code(text: str) -> str:
    return re.sub(r'```.*?```|`[^`\n]*`', '', text, flags=re.S)


def anchors(path: Path) -> set[str]:
    """As GitHub and mkdocs make them of headings."""
    headings = re.findall(r'^#+ (.+)$', re.sub(r'```.*?```', '', path.read_text(), flags=re.S), re.M)
    return {re.sub(r'[^\w\- ]', '', h.lower()).strip().replace(' ', '-') for h in headings}
