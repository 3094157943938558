"""A cross-check as a person reads it: one table, then who is missing, then why they differ."""

from __future__ import annotations

from textwrap import fill

from frugalwatch.crosscheck.compare import CrosscheckResult

_MARK = {"measured": "", "derived": "", "estimated": "~", "attributed": "~", "mixed": "~"}


def render(result: CrosscheckResult, width: int = 80) -> str:
    """Plain text without a final line end. `~` marks what is not measured."""
    lines = [f"Cross-check over {result.seconds:.1f} s, mean watts (~ not measured)", ""]
    lines.append(f"  {'part':<12} {'tracker':<18} {'W':>8}   {'ratio':>6}")
    for part in result.parts:
        watts = f"{part.watts:.3g}{_MARK[part.origin]}"
        bounds = ""
        if part.high_w > part.low_w:
            bounds = f"   likely {part.low_w:.3g} to {part.high_w:.3g}"
        lines.append(f"  {part.name:<12} {'frugalwatch':<18} {watts:>8}   {'1':>6}{bounds}")
        for comparison in result.comparisons:
            if comparison.part != part.name:
                continue
            opinion = next(o for o in result.opinions if o.name == comparison.tracker)
            name = f"{opinion.name} {opinion.version}"
            ratio = "-" if comparison.ratio is None else f"{comparison.ratio:.2f}"
            outside = "" if comparison.inside_bounds or not bounds else "   outside our bounds"
            lines.append(f"  {'':<12} {name:<18} {comparison.their_w:>8.3g}   {ratio:>6}{outside}")
    if not result.parts:
        lines.append("  nothing of ours could be measured")
    lines += [f"  {gone.name}: {gone.reason}" for gone in result.absent]
    remedies = {gone.remedy for gone in result.absent if gone.remedy}
    lines += [f"hint: {remedy}" for remedy in sorted(remedies)]
    if result.causes:
        lines += ["", "Why they differ"]
        lines += [
            fill(cause, width, initial_indent="  - ", subsequent_indent="    ")
            for cause in result.causes
        ]
    return "\n".join(lines)
