"""An advice as one HTML page that needs nothing else: no network, no scripts, its own pictures."""

from __future__ import annotations

from advisor.report.charts import forest, fronts, shares, trace
from advisor.report.scale import Scale
from advisor.report.telling import told
from advisor.report.words import Document


def html_page(document: Document, scale: Scale) -> str:
    """The page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("advisor.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("advice.html.j2").render(
        told=told(document, scale),
        forest=forest(document),
        fronts=fronts(document),
        shares=shares(document),
        trace=trace(document),
    )
