"""Device profiles of machines whose latencies are known."""

from __future__ import annotations

from mobilenets.architecture.multipliers import PUBLISHED_RESOLUTIONS, PUBLISHED_WIDTHS
from mobilenets.search.profile import DeviceProfile, Point


def quadratic_profile() -> DeviceProfile:
    """A machine whose latency is exactly 1e-4 ms · α² · resolution², for any number of classes."""
    points = tuple(
        Point(width, side, precision, 1, 1e-4 * (width * side) ** 2, 1e-4 * (width * side) ** 2 / divisor, classes)
        for width in PUBLISHED_WIDTHS
        for side, classes in (*((side, 1000) for side in PUBLISHED_RESOLUTIONS), (128, 10))
        for precision, divisor in (("float32", 1), ("int8", 3))
    )
    return DeviceProfile("a quadratic machine", "none", points, points[:1])
