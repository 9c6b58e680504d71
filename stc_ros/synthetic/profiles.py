"""How each kind of camera behaves: one `Profile` per name in `PROFILES`. Lengths are pixels of a 112-pixel frame."""

from dataclasses import dataclass

LONG_PAUSE = (14, 32)


@dataclass(frozen=True)
class Profile:
    """The habits of one camera and of the scene before it."""

    objects: tuple[int, int]  # fewest and most objects that the scene aims for
    movers: int  # most objects that move at once
    pause: tuple[int, int]  # frames between one happening and the next, uniform
    rest: float  # chance that the pause is a long one instead, of LONG_PAUSE frames
    habits: dict[str, float]  # how likely each happening is: "enter", "leave", "start", "recolour"
    speed: tuple[float, float]  # of an object, per frame
    cut: float = 0.0  # chance of a cut per frame
    sway: tuple[float, float] = (0.0, 0.0)  # how far the camera pans from the middle, across and down
    pan: float = 0.0  # fastest pan, per frame
    shake: float = 0.0  # standard deviation, every frame anew
    gain: float = 1.0  # mean exposure
    drift: float = 0.02  # standard deviation of the slow drift of the exposure, as a share of `gain`
    noise: float = 1.0  # standard deviation of the sensor noise, grey levels of 255


_PROFILES = {
    'static': Profile(
        objects=(2, 5),
        movers=1,
        pause=(1, 6),
        rest=0.3,
        speed=(4.0, 10.0),
        cut=0.002,
        drift=0.004,
        noise=0.8,
        habits={'enter': 7.0, 'leave': 7.0, 'start': 3.0, 'recolour': 2.0},
    ),
    'patrol': Profile(
        objects=(2, 5),
        movers=2,
        pause=(2, 8),
        rest=0.05,
        speed=(4.0, 9.0),
        cut=0.006,
        drift=0.03,
        noise=3.0,
        sway=(14.0, 7.0),
        pan=1.3,
        shake=0.5,
        habits={'enter': 7.0, 'leave': 7.0, 'start': 4.0, 'recolour': 2.5},
    ),
    'busy': Profile(
        objects=(3, 6),
        movers=4,
        pause=(1, 4),
        rest=0.0,
        speed=(2.5, 12.0),
        cut=0.010,
        drift=0.01,
        noise=1.5,
        habits={'enter': 8.0, 'leave': 8.0, 'start': 5.0, 'recolour': 3.0},
    ),
    'night': Profile(
        objects=(2, 5),
        movers=2,
        pause=(2, 9),
        rest=0.1,
        speed=(2.5, 8.0),
        cut=0.004,
        drift=0.15,
        noise=5.0,
        gain=0.5,
        shake=0.1,
        habits={'enter': 7.0, 'leave': 7.0, 'start': 4.0, 'recolour': 2.5},
    ),
}

PROFILES = tuple(_PROFILES)


def profile_named(name: str) -> Profile:
    """The profile of that name. Raises ValueError, naming the choices, when there is none."""
    try:
        return _PROFILES[name]
    except KeyError:
        raise ValueError(f'no profile is called {name!r}; choose one of {", ".join(PROFILES)}') from None
