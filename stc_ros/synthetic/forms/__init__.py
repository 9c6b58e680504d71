"""The forms of question: fixed wordings, each with a rule that finds every case of it in a `View`."""

from stc_ros.synthetic.forms import past, present  # noqa: F401 - importing them fills FORMS
from stc_ros.synthetic.forms.form import COLOUR, FORMS, NUMBERS, PLURALS, SHAPE, SIZE, TYPES, WAYS, Form

__all__ = ['COLOUR', 'FORMS', 'NUMBERS', 'PLURALS', 'SHAPE', 'SIZE', 'TYPES', 'WAYS', 'Form']
