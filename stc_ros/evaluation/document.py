"""Writes docs/quality.md, its pictures and its figures as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

from stc_ros.evaluation.conditions import ABLATIONS
from stc_ros.evaluation.measure import Outcome
from stc_ros.evaluation.pictures import draw
from stc_ros.evaluation.report import HEADER, LEGEND, about, as_markdown, number, scores, table, verdict
from stc_ros.evaluation.summary import Summary, summarise, to_json
from stc_ros.evaluation.sweep import CHEAPEST, GOOD_ENOUGH, points
from stc_ros.parameters import SHORT, in_use
from stc_ros.settings import Settings
from stc_ros.settings_export import to_arguments
from stc_ros.synthetic.forms import FORMS, TYPES

TEMPLATE = """\
# What compression costs

Written by `{command}`. {about}

Questions with one right answer about seeded synthetic streams are asked of the plain model, of the model with the
settings, and under ablations of what compression might destroy. An answer counts when its text is the right
one, word for word. Narration is scored as it is published, at the middle of a stream and at its end: without what it
repeats, without the events that the first narration has reported, and without clauses that the model is unsure of
(`narration.min_confidence`). Settings are chosen on tuning streams; what they cost is measured on test streams, which
no setting was chosen on. (The embedded model's card names the one choice in its training that a test figure made.)

## The settings in question

`{settings}`

{table}

{verdict}

{legend}

### By profile

{by_profile}

### By form of question

A `*` marks the forms that the newest frame alone cannot answer.

{by_form}

## What other settings cost

The same questions; retention over {tested}. Narration: object F1, clause F1, and the share of
the clauses said that are right.

{costs}

**Recommended: {advice}.** `cheapest of the sweep` is `{cheapest}`:
the cheapest cacher and the cheapest pruner below that each keep at least {good_enough:.0%} of the accuracy on the
tuning streams, put together. They are recommended only when together, on test streams, they keep as much as the
settings in question. `stc` is the published setting: update_ratio 0.25, a refresh every N frames, 64 of 196 tokens
kept (prune_ratio 0.67), of the newest frame, too. With `latest frame pruned` a question reads no more of it than was
kept; in `all clauses`, narration leaves out no clause that the model is unsure of (narration.min_confidence 0).

## Accuracy against share recomputed

![accuracy against share recomputed](quality_recomputed.png)

Pruner none. Accuracy is the mean over {swept_types}, on {swept_streams} tuning streams.
The dotted line is a cacher that recomputes nothing behind the first frame: where it is close to the plain line, caching
costs nothing because nothing is asked that it could lose.

{recomputed}

## Accuracy against share kept

![accuracy against share kept](quality_kept.png)

Cacher none. `stc` and `delta` keep the tokens' original positions; contiguous positions renumber them without gaps.
`random` and `uniform` choose without looking. The other methods, of images or of video, are measured at one ratio.
`full latest frame`: a question reads all tokens of the newest frame, beside the share kept; in the other rows it does
not.

{kept}
"""


def write_document(
    folder: Path,
    command: str,
    made: str,
    settings: Settings,
    outcome: Outcome,
    swept: dict,
    extras: dict[str, Settings],
    found: dict,
) -> None:
    """Write quality.md, quality.json and the two pictures into `folder`.

    command: what made them; made: model, machine, duration; found: the JSON of the main figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary = summarise(outcome)
    costs = {'in question': summary, **{name: summarise(outcome, name, summary.tested) for name in extras}}
    by_profile = {p: summarise(outcome.only(p), tested=summary.tested) for p in dict.fromkeys(outcome.profiles)}
    for curve in ('recomputed', 'kept'):
        draw(swept, curve, folder / f'quality_{curve}.png')
    text = TEMPLATE.format(
        command=command,
        about=made,
        settings=words(settings),
        table=as_markdown([HEADER, *table(summary)]),
        verdict='\n'.join(f'* {line}' for line in verdict(summary)),
        legend=LEGEND,
        by_form=as_markdown(form_rows(outcome)),
        by_profile=as_markdown(profile_rows(by_profile)),
        tested=', '.join(summary.tested) or 'no type',
        costs=as_markdown(cost_rows(costs)),
        cheapest=words(extras[CHEAPEST]),
        advice=advise(costs),
        good_enough=GOOD_ENOUGH,
        swept_types=', '.join(swept['tested']) or 'all types',
        swept_streams=swept['streams'],
        recomputed=as_markdown(sweep_rows(swept, 'recomputed')),
        kept=as_markdown(sweep_rows(swept, 'kept')),
    )
    (folder / 'quality.md').write_text(text + others_measured(folder))
    everything = {
        'made': made,
        'in_question': found,
        'sweep': swept,
        'profiles': {name: to_json(s, name, settings, found['seed']) for name, s in by_profile.items()},
        'costs': {
            name: to_json(s, found['profile'], extras.get(name, settings), found['seed']) for name, s in costs.items()
        },
    }
    (folder / 'quality.json').write_text(json.dumps(everything, indent=1) + '\n')


def others_measured(folder: Path) -> str:
    """Sections of the other measurements in `folder`: quality-NAME.json, as `--json` writes them."""
    text = ''
    for file in sorted(folder.glob('quality-*.json')):
        found = json.loads(file.read_text())
        asked = as_typed(Settings(found['settings']).changed())
        rows = [['type', 'n', 'plain', 'with settings', 'retention', *ABLATIONS, 'held']]
        for kind, f in found['types'].items():
            controls = [number(f['controls'].get(name, math.nan)) for name in (*ABLATIONS, 'held')]
            rows.append(
                [
                    kind,
                    str(f['n']),
                    number(f['plain']),
                    number(f['with_settings']),
                    about(f['retention'], f['interval']),
                    *controls,
                ]
            )
        name = file.stem.removeprefix('quality-')
        text += (
            f'\n## {name}\n\n`./dev quality {asked}`, seed {found["seed"]}, profiles: {found["profile"]}; '
            f'retention {found["retention"]:.3f} over the types that test it.\n\n'
            f'{as_markdown(rows)}\n'
        )
    return text


def words(settings: Settings) -> str:
    """The settings of cacher and pruner, as one would type them."""
    names = [n for n in in_use(settings) if n.startswith(('cache_', 'cacher.', 'prune', 'pruner.'))]
    names += [n for n in ('query.full_latest_frame', 'expert.contiguous_positions') if n in settings.changed()]
    return as_typed({name: settings[name] for name in names})


def as_typed(values: dict) -> str:
    """Values of parameters as options, by their short names where they have one."""
    short = {full: name for name, full in SHORT.items()}
    return ' '.join(to_arguments({short.get(name, name): value for name, value in values.items()}))


def advise(costs: dict[str, Summary]) -> str:
    """Which settings to take: the sweep's cheapest only if nothing is lost by it."""
    return CHEAPEST if costs[CHEAPEST].retention >= costs['in question'].retention else 'the settings in question'


def profile_rows(summaries: dict[str, Summary]) -> list[list[str]]:
    """Plain and with the settings by type, a row per profile."""
    kinds = list(next(iter(summaries.values())).types)
    rows = [['profile', *kinds, 'retention', 'recomputed', 'narration']]
    for name, s in summaries.items():
        cells = [f'{number(f.plain)} → {number(f.with_settings)}' for f in s.types.values()]
        rows.append([name, *cells, about(s.retention, s.interval), f'{s.recomputed:.0%}', arrow(s)])
    return rows


def form_rows(outcome: Outcome) -> list[list[str]]:
    """Accuracy of every form that was asked, plain, with the settings and without what could be known."""
    conditions = ('plain', 'settings', *ABLATIONS)
    columns = [outcome.accuracy_by_form(name) for name in conditions]
    rows = [['form', 'type', 'n', 'plain', 'with settings', *ABLATIONS]]
    for i, form in sorted(enumerate(FORMS.values()), key=lambda item: TYPES.index(item[1].type)):
        n = int(outcome.forms[:, i].sum())
        if n:
            rows.append([form.wording + ' *' * form.temporal, form.type, str(n), *(number(c[i]) for c in columns)])
    return rows


def cost_rows(summaries: dict[str, Summary]) -> list[list[str]]:
    """Accuracy by type, a row per settings; the first row is the plain model."""
    first = next(iter(summaries.values()))
    rows = [
        ['settings', *first.types, 'retention', 'recomputed', 'kept', 'narration'],
        [
            'plain',
            *(number(f.plain) for f in first.types.values()),
            '1',
            '100%',
            '100%',
            ' / '.join(scores(first.narration_plain)),
        ],
    ]
    for name, s in summaries.items():
        cells = [number(f.with_settings) for f in s.types.values()]
        rows.append(
            [
                name,
                *cells,
                about(s.retention, s.interval),
                f'{s.recomputed:.0%}',
                f'{s.kept:.0%}',
                ' / '.join(scores(s.narration)),
            ]
        )
    return rows


def sweep_rows(swept: dict, curve: str) -> list[list[str]]:
    """Share and accuracy of every point of a curve, by profile."""
    profiles = swept['profiles']
    rows = [
        ['settings', *(f'{p}: {curve}' for p in profiles), *profiles],
        ['plain', *('100%' for _ in profiles), *(number(m['plain']) for m in profiles.values())],
    ]
    for point in points():
        if point.curve == curve:
            shares, means = zip(*(m['points'][point.name] for m in profiles.values()))
            rows.append([point.name, *(f'{x:.0%}' for x in shares), *map(number, means)])
    if curve == 'recomputed':
        rows.append(
            ['never refreshes', *('-' for _ in profiles), *(number(m['no_refresh']) for m in profiles.values())]
        )
    return rows


def arrow(summary: Summary) -> str:
    """Narration's clause F1, plain and with the settings."""
    return f'{number(summary.narration_plain.clause_f1)} → {number(summary.narration.clause_f1)}'
