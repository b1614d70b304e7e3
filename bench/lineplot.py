# SPDX-License-Identifier: Apache-2.0
"""A line chart as SVG, readable on light and on dark pages."""
import html
import math

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 44, 56
LEGEND_LINE = 20
# Told apart by people who don't see all colours, too: by their markers. The second of each pair is
# for dark pages.
COLOURS = (("#c1440e", "#ff8a5c"), ("#8a6d00", "#e0b93a"), ("#00639c", "#5fb8ee"),
           ("#1b7a3d", "#5fcf86"), ("#7b3fa0", "#c795e8"), ("#555555", "#bbbbbb"))
MARKERS = ("M-4,-4h8v8h-8z", "M0,-5l5,9h-10z", "M0,-5l5,5l-5,5l-5,-5z", "M0,5l-5,-9h10z",
           "M-5,-1.5h10v3h-10z", "M-1.5,-5h3v10h-3z")


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to the first one that isn't below `most`."""
    rough = most / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * n for n in (1, 2, 5, 10) if unit * n >= rough)
    return [step * i for i in range(math.ceil(most / step) + 1)]


def style() -> str:
    """Colours of both kinds of pages."""
    def rules(which):
        return "".join(f".s{i}{{stroke:{c[which]}}}.f{i}{{fill:{c[which]}}}"
                       for i, c in enumerate(COLOURS))
    return (f"text{{font:13px sans-serif;fill:#222}}.t{{font-size:16px;font-weight:bold}}"
            f".g{{stroke:#8884}}.l{{fill:none;stroke-width:2}}{rules(0)}"
            f"@media(prefers-color-scheme:dark){{text{{fill:#ddd}}{rules(1)}}}")


def text(x: float, y: float, what: str, anchor: str = "middle", more: str = "") -> str:
    """A line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{html.escape(what)}</text>'


def svg(title: str, x_name: str, y_name: str,
        series: dict[str, list[tuple[float, float]]]) -> str:
    """The chart. x is drawn where it is given, y from 0 on."""
    y_ticks = ticks(max(y for points in series.values() for _, y in points))
    x_ticks = sorted({x for points in series.values() for x, _ in points})

    def place(x, y):
        across, up = x / x_ticks[-1], y / y_ticks[-1]
        return (LEFT + across * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))

    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
             f"<style>{style()}</style>", text(WIDTH / 2, 24, title, more=' class="t"')]
    for y in y_ticks:
        _, at = place(0, y)
        lines += [f'<path class="g" d="M{LEFT},{at:.1f}H{WIDTH - RIGHT}"/>',
                  text(LEFT - 8, at + 4, f"{y:g}", "end")]
    for x in x_ticks:
        at, bottom = place(x, 0)
        lines += [f'<path class="g" d="M{at:.1f},{bottom}v5"/>', text(at, bottom + 20, f"{x:g}")]
    lines += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_name),
              text(-HEIGHT / 2, 18, y_name, more=' transform="rotate(-90)"')]
    for i, (name, points) in enumerate(series.items()):
        places = [place(*point) for point in points]
        path = "L".join(f"{x:.1f},{y:.1f}" for x, y in places)
        lines.append(f'<path class="l s{i}" d="M{path}"/>')
        label = (LEFT + 24, TOP + 14 + i * LEGEND_LINE)
        for x, y in (*places, label):
            lines.append(f'<path class="f{i}" transform="translate({x:.1f},{y:.1f})" '
                         f'd="{MARKERS[i]}"/>')
        lines.append(text(label[0] + 14, label[1] + 4, name, "start"))
    return "\n".join([*lines, "</svg>", ""])
