"""The report of an evaluation: one HTML file that opens offline, made of the result folders of its settings.

`read_runs` (report_data.py) reads them, `report_tables.py` and `report_plots.py` make tables, cards and plots of them,
the template lays them out. Pictures are inside as data URIs; the page may load nothing, which its own policy says.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import os
from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from stc_ros.evaluation import report_cards
from stc_ros.evaluation import report_plots as plots
from stc_ros.evaluation import report_tables as tables
from stc_ros.evaluation import report_timeline as timeline
from stc_ros.evaluation.report_data import Camera, Run, number, read_runs

TEMPLATES = Path(__file__).parent / 'templates'
MOST_BYTES = 16 * 2**20  # of all pictures together
MOST_PICTURE = 32_000  # bytes of one picture; larger ones are made smaller
WIDTH = 560  # px of a picture made smaller
MOST_CARDS, MOST_NARRATIONS, MOST_FRAMES = 1000, 1500, 40_000  # in the page, of all settings together


def write_report(folders: Iterable[Path], file: Path, most_bytes: int = MOST_BYTES) -> None:
    """Write `file` of these result folders, side by side in this order. Raises `ReportError`."""
    page = view(read_runs(folders), most_bytes)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(clock=tables.clock, percent=tables.percent, figure=tables.figure)
    text = environment.get_template('report.html.j2').render(page)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f'.{file.name}.{os.getpid()}')
    unfinished.write_text(text, encoding='utf-8')
    unfinished.replace(file)


def view(runs: list[Run], most_bytes: int = MOST_BYTES) -> dict:
    """All that the template shows."""
    pictures, cards = Pictures(most_bytes), report_cards.cards(runs)
    shown = cards[:MOST_CARDS]
    for card in shown:
        pictures.fill(card)
    for card in shown:  # when each question has its newest frame
        pictures.fill_strips(card)
    narrations, narrations_left_out = report_cards.narrations(runs, MOST_NARRATIONS)
    end, by_camera = max((run.end for run in runs), default=0.0), tables.cameras(runs)
    stride = max(1, math.ceil(sum(len(c.frames) for run in runs for c in run.cameras.values()) / MOST_FRAMES))
    can_plot = plots.available()
    notes = [f'{run.name}: {note}' for run in runs for note in run.notes]
    unfinished = (run for run in runs if run.summary is None)  # a summary names these itself
    notes += [f'{run.name}, {c.name}: {invalid(c)}' for run in unfinished for c in run.cameras.values() if c.invalid]
    if len(cards) > len(shown):
        notes.append(f'{len(cards) - len(shown)} questions are not shown as cards; all count in the tables.')
    if narrations_left_out:
        notes.append(f'{narrations_left_out} narrations are not listed.')
    if stride > 1 or any(c.frames.stride > 1 for run in runs for c in run.cameras.values()):
        notes.append('The timeline steps over frames, since there are very many; counts and means are over all.')
    if not can_plot:
        notes.append("Plots are left out: install matplotlib (pip install 'stc_ros[evaluation]').")
    script = Markup((TEMPLATES / 'report.js').read_text('utf-8'))
    return {
        'runs': runs,
        'heads': [head(run) for run in runs],
        'facts': facts(runs, end),
        'notes': notes + pictures.notes(),
        'groups': tables.settings_table(runs),
        'tags': tables.tag_table(runs),
        'controls': tables.CONTROLS,
        'cards': shown,
        'card_tags': sorted({tag for card in shown for tag in card['tags']}),
        'narrations': narrations,
        'expectations': report_cards.expectations(runs),
        'histograms': histograms(runs) if can_plot else [],
        'cameras': [timeline.camera(name, found, runs, end, shown, can_plot) for name, found in by_camera.items()],
        'end': end,
        'labels': timeline.labels(end),
        'frames': {
            'end': end,
            'tracks': [
                timeline.frames(number, index, each, stride)
                for number, found in enumerate(by_camera.values())
                for index, each in found
            ],
        },
        'style': Markup((TEMPLATES / 'report.css').read_text('utf-8')),
        'script': script,
        'script_hash': base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }


def head(run: Run) -> dict:
    """One settings file's verdict."""
    summary = run.summary or {}
    needs = [
        {'text': str(r.get('text')), 'value': number(r.get('value')), 'passed': bool(r.get('passed'))}
        for r in summary.get('requirements') or []
    ]
    verdict = 'passed' if summary.get('passed', True) else 'failed'
    verdict = 'unfinished' if run.summary is None else verdict if needs or verdict == 'failed' else ''
    accuracy = tables.accuracies(run).get('')
    failed = sum(not q.get('passed') for q in run.questions)
    return {'name': run.name, 'verdict': verdict, 'requirements': needs, 'accuracy': accuracy, 'failed': failed,
            'n': len(run.questions)}  # fmt: skip


def facts(runs: list[Run], end: float) -> list[tuple[str, str]]:
    """What was evaluated, where that is the same for all settings or not."""

    def all_of(field: str) -> str:
        return ', '.join(dict.fromkeys(tables.plain(run.head[field]) for run in runs if run.head.get(field)))

    said = [('bag', all_of('bag')), ('questions', all_of('questions')), ('model', all_of('model'))]
    return [(name, text) for name, text in [*said, ('topics', all_of('topics')), ('length', tables.clock(end))] if text]


def invalid(camera: Camera) -> str:
    reasons = '; '.join(dict.fromkeys(reason for _, reason in camera.invalid))
    return f'{camera.invalid_count} invalid frames ({tables.cut(reasons)})'


def histograms(runs: list[Run]) -> list[dict]:
    """Latency, age and time to first token, where there are any."""
    wanted = (
        ('Time of a frame', 'ms', tables.latencies),
        ('Age of a frame when done', 'ms', lambda run: tables.latencies(run, 'age')),
        ('Time to first token', 's', lambda run: tables.answer_times(run, 'time_to_first_token')),
    )
    found = []
    for name, unit, values_of in wanted:
        series = [(i, values_of(run)) for i, run in enumerate(runs)]
        series = [(i, values) for i, values in series if (values > 0).any()]
        if series:
            found.append({'name': name, 'unit': unit, 'svg': Markup(plots.histogram(series, unit))})
    return found


# ---------------------------------------------------------------- pictures


class Pictures:
    """Pictures as data URIs until `most_bytes` are spent; those of failures come first, as the cards do."""

    def __init__(self, most_bytes: int):
        self.left, self.left_out, self.missing = most_bytes, 0, 0

    def fill(self, card: dict) -> None:
        for answer in card['answers']:
            folder, thumbnail, overlay = answer['files']
            card['thumbnail'] = card['thumbnail'] or self.uri(folder, thumbnail)
            answer['overlay'] = self.uri(folder, overlay)

    def fill_strips(self, card: dict) -> None:
        for answer in card['answers']:
            for each in answer['strip']:
                each['picture'] = self.uri(answer['files'][0], each['file'])

    def uri(self, folder: Path, path: str | None) -> str | None:
        """Of a file inside the folder; None if there is none, it is no picture, or there is no room."""
        if not path:
            return None
        file = (folder / str(path)).resolve()
        if not file.is_file() or not file.is_relative_to(folder.resolve()):
            self.missing += 1
            return None
        data = file.read_bytes()
        try:
            data = data if data.startswith(b'\xff\xd8') and len(data) <= MOST_PICTURE else smaller(data)
        except (OSError, ValueError):
            self.missing += 1
            return None
        if len(data) * 4 // 3 > self.left:
            self.left_out += 1
            return None
        text = base64.b64encode(data).decode()
        self.left -= len(text)
        return f'data:image/jpeg;base64,{text}'

    def notes(self) -> list[str]:
        notes = []
        if self.left_out:
            notes.append(f'{self.left_out} pictures are left out, so that the file stays small: see --max-mb.')
        if self.missing:
            notes.append(f'{self.missing} pictures could not be read.')
        return notes


def smaller(data: bytes) -> bytes:
    file = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image = image.convert('RGB')
        image.thumbnail((WIDTH, WIDTH), Image.LANCZOS)
        image.save(file, 'JPEG', quality=66, optimize=True)
    return file.getvalue()
