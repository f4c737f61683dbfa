"""Device profiles of machines whose latencies are known."""

from __future__ import annotations

from mobilenets.architecture.cost import cost
from mobilenets.architecture.multipliers import PUBLISHED_RESOLUTIONS, PUBLISHED_WIDTHS
from mobilenets.search.candidates import published_networks
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


def published_profile() -> DeviceProfile:
    """A machine that needs 1 ms for 200 million Mult-Adds in float32, and for 600 million in int8."""
    points = tuple(
        Point(
            one.width_multiplier or 1.0,
            one.resolution or 224,
            precision,
            1,
            macs / speed,
            macs / speed,
            classes,
            one.name,
        )
        for one in published_networks()
        for classes in (1000, 10)
        for macs in (cost(one.network(classes=classes)).macs,)
        for precision, speed in (("float32", 2e8), ("int8", 6e8))
    )
    return DeviceProfile("a steady machine", "none", points)
