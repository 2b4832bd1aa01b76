"""Charts of metrics with thresholds and alerts: pure drawing, as SVG, PNG and for terminals."""

from tocsin.charts.alert import alert_chart, chart_span
from tocsin.charts.model import Band, Chart, Corridor, Panel, Span, Threshold
from tocsin.charts.png import as_png
from tocsin.charts.svg import as_svg
from tocsin.charts.terminal import as_text

__all__ = [
    "Band",
    "Chart",
    "Corridor",
    "Panel",
    "Span",
    "Threshold",
    "alert_chart",
    "as_png",
    "as_svg",
    "as_text",
    "chart_span",
]
