"""SVG and HTML elements as text."""

from html import escape

GRID, LINE = "#2c3235", "#9a9aa5"


def tag(name, inside="", **attributes):
    """An element. `stroke_width` becomes stroke-width, floats get one digit, `inside` is not escaped."""
    words = [f'{key.strip("_").replace("_", "-")}="{shortened(value)}"' for key, value in attributes.items()]
    return f"<{' '.join([name, *words])}>{inside}</{name}>"


def shortened(value):
    return f"{value:.1f}" if isinstance(value, float) else escape(str(value))


def text(x, y, words, anchor="middle", **more):
    return tag("text", escape(words), x=float(x), y=float(y), text_anchor=anchor, **more)


def line(x1, y1, x2, y2, stroke=GRID, **more):
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), stroke=stroke, **more)


def rect(x, y, width, height, fill, opacity):
    return tag(
        "rect", x=float(x), y=float(y), width=float(width), height=float(height), fill=fill, opacity=f"{opacity:.2f}"
    )


def circle(x, y, r, stroke, width, fill="none", **more):
    return tag(
        "circle", cx=float(x), cy=float(y), r=float(r), stroke=stroke, stroke_width=float(width), fill=fill, **more
    )


def picture(width, height, body):
    return tag("svg", body, width=int(width), height=int(height), xmlns="http://www.w3.org/2000/svg")


def swatch(colour, words):
    """A name with a mark of its colour."""
    return tag("i", style=f"background:{colour}") + escape(words)


def nothing(words):
    return tag("div", escape(words), class_="none")
