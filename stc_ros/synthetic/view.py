"""What frames 0..t of a clip show for certain: the ground on which questions are asked.

Only the last `REACH` frames count, and only the present scene: `view.start` is the first frame that counts.
Objects that show less than half, and events without a clear frame before them, make a view `murky` or not `clear`;
forms of question that would be ambiguous then stay away.
"""

from stc_ros.synthetic.truth import CLEAR_SHARE, Clip, Event, Seen

REACH = 32  # frames, the newest included, in which evidence may lie
_GUARD = 2  # frames before the start that a viewer may still remember: nothing may enter, leave or change there
_LASTING = ('left', 'entered', 'changed colour')

Name = tuple[str, str]  # colour, shape


class View:
    """Frames start..t of one scene of a clip, sorted out."""

    def __init__(self, clip: Clip, t: int):
        truth = clip.truths[t]
        scene_start = t
        while scene_start > max(0, t - REACH - _GUARD) and clip.truths[scene_start - 1].scene == truth.scene:
            scene_start -= 1
        self.t = t
        self.start = start = max(scene_start, t - REACH + 1)
        self.present = truth.objects
        self.seen = tuple(o for o in truth.objects if o.share >= CLEAR_SHARE)
        self.clear = len(self.seen) == len(self.present)

        self.history: dict[int, list[tuple[int, Seen]]] = {}  # id -> the frames that show it well
        self.touched: set[Name] = {(o.colour, o.shape) for o in truth.objects}  # names that any pixel ever had
        self.shapes_of: dict[str, set[int]] = {}  # shape -> ids of all objects with it, however little they showed
        for frame in range(scene_start, t + 1):
            for o in clip.truths[frame].objects:
                self.touched.add((o.colour, o.shape))
                self.shapes_of.setdefault(o.shape, set()).add(o.id)
                if frame >= start and o.share >= CLEAR_SHARE:
                    self.history.setdefault(o.id, []).append((frame, o))
        self.first = clip.truths[start].objects

        events = [e for e in clip.events if scene_start < e.frame <= t and e.id]
        lasting = [e for e in events if e.kind in _LASTING]
        self.whole = scene_start == start or all(e.frame > start + 1 for e in lasting)  # nothing lies on the brink
        self._events = [e for e in events if e.frame > start]
        self.left = self._known_before('left')
        self.changed = self._known_before('changed colour')
        self.entered = [e for e in self._events if e.kind == 'entered' and e.id in self.history]
        self.started = self._known_before('started')
        self.stopped = self._known_before('stopped')
        counted = len(self.left) + len(self.changed) + len(self.entered)
        # an event of something that never showed well, or an object half out of sight, which may have left or not
        self.murky = not self.clear or counted != sum(e.frame > start for e in lasting)

        self.now = {o.id: o for o in self.seen}
        self.gone = {e.id: e for e in self.left}
        self.recoloured = {e.id for e in self._events if e.kind == 'changed colour'}
        moving = [o for o in self.seen if self._motion_known(o)]
        self.moving = [o for o in moving if o.moves != 'still']
        self.still = [o for o in moving if o.moves == 'still']
        self.motion_clear = self.clear and len(moving) == len(self.seen) > 0

    def _known_before(self, kind: str) -> list[Event]:
        history = self.history
        return [e for e in self._events if e.kind == kind and e.id in history and history[e.id][0][0] < e.frame]

    def _motion_known(self, o: Seen) -> bool:
        """True when the last two frames tell what the object does, and it did the same in the step before them."""
        shown = self.history[o.id]
        return len(shown) > 1 and shown[-2][0] == self.t - 1 and o.moved_for >= 2

    def first_seen(self, id: int) -> Seen | None:
        """How the object was at first; None when its place or moment is not certain."""
        (frame, o), *later = self.history[id][:2]
        if frame == self.start:
            certain = self.whole
        else:  # it entered: its place must last a moment
            certain = any(e.id == id for e in self.entered) and bool(later) and later[0][1].place == o.place
        return o if certain and o.place_clear else None
