"""Write the generated part of docs/parameters.md, between its markers, from the table of parameters."""

from __future__ import annotations

from pathlib import Path

from stc_ros.settings_export import to_markdown

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'parameters.md'
BEGIN, END = '<!-- generated -->\n', '<!-- end -->\n'


def page(text: str) -> str:
    """The page's text -> the same with the tables of today."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f'{head}{BEGIN}\n## All parameters\n\n{to_markdown()}\n{END}{tail}'


if __name__ == '__main__':
    old = PAGE.read_text()
    if (new := page(old)) != old:
        PAGE.write_text(new)
        print(f'{PAGE} written')
