"""The demo's figures: collected frame by frame, shown as a status line, a summary, or JSON. Knows nothing of ROS."""

from __future__ import annotations

from array import array
from dataclasses import asdict, dataclass, field

import numpy as np

from stc_ros.models.narration_filter import normalise
from stc_ros.synthetic.narration import Score, score

STAGES = ('preprocess', 'vision', 'prune', 'prefill', 'total')


@dataclass
class Figures:
    """`newest` is a StreamStats message, or anything with its fields."""

    narrations: list[dict] = field(default_factory=list)
    answers: list[dict] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)  # of watches
    newest: object = None
    patches: int = 0
    recomputed: int = 0
    visual_tokens: int = 0
    kept: int = 0
    similarity: array = field(default_factory=lambda: array('f'))  # of what each frame reused, where it is measured
    ms: dict[str, array] = field(default_factory=lambda: {stage: array('f') for stage in STAGES})
    told: int = 0  # frames that the status line has shown
    score: Score = field(default_factory=Score)  # of the narrations whose truth is known

    def saw(self, stats) -> None:
        self.newest = stats
        self.patches += stats.patches
        self.recomputed += stats.patches_recomputed
        self.visual_tokens += stats.visual_tokens
        self.kept += stats.visual_tokens_kept
        if stats.reused_similarity == stats.reused_similarity:  # no NaN
            self.similarity.append(stats.reused_similarity)
        for stage, values in self.ms.items():
            values.append(getattr(stats, f'{stage}_ms'))

    def narrated(self, text: str, stamp: float, truth: str = '') -> None:
        """stamp: of the newest frame that the text tells about, seconds. truth: what it should say; '': not known."""
        self.narrations.append({'text': text, 'stamp': stamp, 'truth': truth})
        if truth:
            self.score += score(text, truth)

    def answered(
        self, question: str, answer: str, error_code: int, time_to_first_token_s: float, truth: str = ''
    ) -> None:
        self.answers.append(
            {
                'question': question,
                'answer': answer,
                'truth': truth,
                'error_code': error_code,
                'time_to_first_token_s': time_to_first_token_s,
            }
        )

    def happened(self, condition: str, kind: str, stamp: float, probability: float, latency_s: float) -> None:
        """A watch has risen, fallen or expired. stamp: of the frame that decided, seconds."""
        self.events.append(
            {'condition': condition, 'kind': kind, 'stamp': stamp, 'probability': probability, 'latency_s': latency_s}
        )

    def as_json(self) -> dict:
        """What `--json` writes. Shares are 0 where nothing was seen; `ms` then is empty."""
        seen = self.newest
        return {
            'frames_received': seen.frames_received if seen else 0,
            'frames_processed': seen.frames_processed if seen else 0,
            'frames_dropped': seen.frames_dropped if seen else 0,
            'narrations': self.narrations,
            'score': asdict(self.score),
            'answers': self.answers,
            'events': self.events,
            'recomputed_share': share(self.recomputed, self.patches),
            'reused_similarity': float(np.mean(self.similarity)) if self.similarity else None,
            'kept_share': share(self.kept, self.visual_tokens),
            'ms': {
                stage: {'median': float(np.median(values)), 'p99': float(np.percentile(values, 99))}
                for stage, values in self.ms.items()
                if len(values)
            },
        }

    def status(self) -> str:
        """One line about the frames since the last one."""
        new, self.told = self.told, len(self.ms['total'])
        seen = self.newest
        stages = ' '.join(f'{stage} {np.mean(values[new:] or values[-1:]):.1f}' for stage, values in self.ms.items())
        return (
            f'{seen.processing_rate:.1f} frames/s of {seen.input_rate:.1f} | '
            f'recomputed {share(seen.patches_recomputed, seen.patches):.0%} | '
            f'kept {share(seen.visual_tokens_kept, seen.visual_tokens):.0%} | ms: {stages} | '
            f'processed {seen.frames_processed}, dropped {seen.frames_dropped} | memory {seen.memory_tokens} tokens'
        )

    def summary(self) -> str:
        all_of_it = self.as_json()
        failed = sum(a['error_code'] != 0 for a in self.answers)
        lines = [
            f'frames      {all_of_it["frames_received"]} received, {all_of_it["frames_processed"]} processed, '
            f'{all_of_it["frames_dropped"]} dropped',
            f'recomputed  {all_of_it["recomputed_share"]:.1%} of the patches',
            *self._similarity(),
            f'kept        {all_of_it["kept_share"]:.1%} of the visual tokens',
            f'words       {len(self.narrations)} narrations, {len(self.answers) - failed} answers'
            + (f', {failed} without an answer' if failed else ''),
            *([f'events      {len(self.events)} of watches'] if self.events else []),
            *self._truth(),
            *(
                f'{stage + " ms":11} median {ms["median"]:.1f}, p99 {ms["p99"]:.1f}'
                for stage, ms in all_of_it['ms'].items()
            ),
        ]
        return '\n'.join(lines)

    def _similarity(self) -> list[str]:
        if not self.similarity:
            return []
        mean, lowest = np.mean(self.similarity), min(self.similarity)
        return [f'similarity  of what was reused: mean {mean:.4f}, lowest {lowest:.4f} (estimated)']

    def _truth(self) -> list[str]:
        s, known = self.score, [a for a in self.answers if a['truth'] and not a['error_code']]
        lines = []
        if s.clauses_true:
            lines.append(
                f'narrated    {s.clauses_right} of {s.clauses_said} clauses are right, {s.clauses_true} were '
                f'due; of objects {s.objects_right} of {s.objects_said}, {s.objects_true}'
            )
        if known:
            right = sum(normalise(a['answer']) == normalise(a['truth']) for a in known)
            lines.append(f'answered    {right} of {len(known)} answers with a known truth are right')
        return lines


def share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
