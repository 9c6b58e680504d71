"""Real weights through our decoder and memory; benchmarks/real_language.py prints the same."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
if not BENCHMARKS.is_dir():
    pytest.skip('the benchmarks are not installed', allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import real_language  # noqa: E402

if why := real_language.missing():
    pytest.skip(why, allow_module_level=True)


@pytest.fixture(scope='module')
def parts():
    return real_language.load()


def test_logits_are_transformers_however_the_text_is_read(parts):
    found = real_language.differences(*parts)
    control = found.pop('control: the same against the whole text')
    assert max(found.values()) < real_language.BOUND < control / 10, found


def test_forty_greedy_tokens_are_transformers(parts):
    for question, (ours, expected) in real_language.answers(*parts).items():
        assert ours == expected, question
        assert len(ours) == real_language.TOKENS or ours[-1] == parts[0].generation_config.eos_token_id
