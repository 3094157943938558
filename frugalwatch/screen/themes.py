"""The screen's themes. The hues of the chart are the same in all, and letters stand beside them."""

from __future__ import annotations

from textual.theme import Theme

# No theme tells anything by red against green. Blue and orange of Okabe and Ito are the accents.
THEMES: tuple[Theme, ...] = (
    Theme(
        name="dark",
        primary="#56B4E9",
        secondary="#E69F00",
        accent="#E69F00",
        warning="#E69F00",
        error="#E69F00",
        success="#56B4E9",
        foreground="#E0E0E0",
        background="#121212",
        surface="#1E1E1E",
        panel="#262B33",
        dark=True,
    ),
    Theme(
        name="light",
        primary="#0072B2",
        secondary="#9A6A00",
        accent="#0072B2",
        warning="#9A6A00",
        error="#9A3A00",
        success="#0072B2",
        foreground="#1A1A1A",
        background="#FAFAFA",
        surface="#EFEFEF",
        panel="#DDE3EA",
        dark=False,
    ),
    Theme(
        name="contrast",
        primary="#FFFFFF",
        secondary="#F0E442",
        accent="#F0E442",
        warning="#F0E442",
        error="#F0E442",
        success="#FFFFFF",
        foreground="#FFFFFF",
        background="#000000",
        surface="#000000",
        panel="#1A1A1A",
        dark=True,
    ),
)


def known_theme(name: str) -> bool:
    """Whether this is one of ours."""
    return any(theme.name == name for theme in THEMES)
