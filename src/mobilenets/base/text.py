"""Figures as people read them."""

from __future__ import annotations

GAP = "\u00a0"
"""Between a number and its unit, where no line may be broken."""


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1.

    >>> print(percent(0.98765), percent(None), percent(1.0), sep=", ")
    98.8 %, –, 100 %
    """
    if share is None:
        return "–"
    return f"100{GAP}%" if share == 1 else f"{100 * share:.{digits}f}{GAP}%"


def interval(bounds: tuple[float, float]) -> str:
    """The ends of a confidence interval, in percent.

    >>> print(interval((0.9731, 1.0)))
    97.3 to 100 %
    """
    low, high = (percent(end).removesuffix(f"{GAP}%") for end in bounds)
    return f"{low} to {high}{GAP}%"


def size(count: float) -> str:
    """Bytes, as disks count them.

    >>> print(size(512), size(230_020), size(3_300_000), sep=", ")
    512 B, 230 kB, 3.30 MB
    """
    if count < 1000:
        return f"{count:.0f}{GAP}B"
    if count < 999_500:
        return f"{_three(count / 1e3)}{GAP}kB"
    return f"{_three(count / 1e6)}{GAP}MB" if count < 999_500_000 else f"{_three(count / 1e9)}{GAP}GB"


def milliseconds(time: float) -> str:
    """Milliseconds, below one in microseconds.

    >>> print(milliseconds(0.2304), milliseconds(1.2345), milliseconds(104.4), sep=", ")
    230 µs, 1.23 ms, 104 ms
    """
    return f"{_three(1e3 * time)}{GAP}µs" if time < 0.9995 else f"{_three(time)}{GAP}ms"


def macs(count: float) -> str:
    """Mult-Adds in millions.

    >>> print(macs(41_030_272), macs(15_470_264_320), macs(512), sep=", ")
    41.0 M, 15.5 G, 512
    """
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{_three(count / unit)}{GAP}{name}"
    return f"{count:.0f}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number of things.

    Args:
        count: How many.
        one: What one of them is called.
        many: What several are called; ``one`` with an s by default.

    >>> plural(1, "thread"), plural(1797, "image"), plural(2, "class", "classes")
    ('1 thread', '1,797 images', '2 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


_HARMLESS = "\n\t\u00a0\u200c\u200d"
"""Line ends, blanks, and what joins emoji and letters."""


def visible(text: str) -> str:
    r"""Text for a terminal: control characters of names, which a terminal would obey, as escapes.

    >>> print(visible("a\x1b[2Jb\udcff, čáp"))
    a\x1b[2Jb\udcff, čáp
    """
    return "".join(
        char if char.isprintable() or char in _HARMLESS else char.encode("unicode_escape").decode() for char in text
    )


def per_second(steps_per_second: float) -> str:
    """Steps a second as people read them: below ten, two digits that mean something.

    >>> per_second(11_529.6), per_second(9.87), per_second(0.034)
    ('11,530', '9.9', '0.034')
    """
    return f"{steps_per_second:,.0f}" if steps_per_second >= 10 else f"{steps_per_second:.2g}"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(42), duration(600), duration(7000)
    ('42 s', '10 min', '1.9 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _three(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"
