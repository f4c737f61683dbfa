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
    return f"{_three(count / 1e3)}{GAP}kB" if count < 999_500 else f"{_three(count / 1e6)}{GAP}MB"


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


def plural(count: int, noun: str) -> str:
    """A number of things.

    >>> plural(1, "thread"), plural(1797, "image")
    ('1 thread', '1,797 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _three(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"
