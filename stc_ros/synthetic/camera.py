"""Where the camera looks: it pans from point to point at its own pace, and shakes around that."""

import random

from stc_ros.synthetic.profiles import Profile


class Camera:
    """`x`, `y`: how far the picture is shifted from the middle of the scene, in units of a 112-pixel frame."""

    def __init__(self, profile: Profile, rng: random.Random):
        self._profile, self._rng = profile, rng
        self.x = self.y = 0.0
        self._aim = (0.0, 0.0)
        if profile.pan:
            self._choose_goal()

    def _choose_goal(self) -> None:
        across, down = self._profile.sway
        self._goal = (self._rng.uniform(-across, across), self._rng.uniform(-down, down))
        self._pace = self._rng.uniform(0.5, 1.0) * self._profile.pan

    def advance(self) -> None:
        """One step."""
        if self._profile.pan:
            dx, dy = self._goal[0] - self._aim[0], self._goal[1] - self._aim[1]
            far = (dx * dx + dy * dy) ** 0.5
            if far < self._profile.pan:
                self._choose_goal()
            else:
                self._aim = (self._aim[0] + dx / far * self._pace, self._aim[1] + dy / far * self._pace)
        self.x, self.y = self._aim
        if self._profile.shake:
            self.x += self._jolt()
            self.y += self._jolt()

    def _jolt(self) -> float:
        shake = self._profile.shake
        return min(max(self._rng.gauss(0, shake), -2 * shake), 2 * shake)
