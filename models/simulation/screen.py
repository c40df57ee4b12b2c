"""What the scanner exports: the picture in its frame of text, bars, rulers and calipers."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.simulation.doppler import Flow
from models.simulation.lesion_shape import LATERAL_MM, MARGIN_MM, Grid
from models.simulation.outline import extreme_points
from models.simulation.random_fields import Field, Mask, resized, smooth_field
from models.simulation.settings import Rgb, Vendor

BAR_ROWS = 110
TEXT_RGB = (200, 200, 200)
WHITE = 250.0
FLOW_THRESHOLD = 0.40


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in screen pixels, both corners included (as PS3.3 C.8.5.5.1.2 has them)."""

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if self.right < self.left or self.bottom < self.top:
            raise ValueError(f"an empty box: {self}")


@dataclass(frozen=True, slots=True)
class Window:
    """Where the slice lies on the screen.

    Attributes:
        vendor: whose screen.
        grid: the slice shown.
        spacing: mm per screen pixel, both ways.
        box: the picture's place on the screen.
        shift: how far the probe has moved along the skin, mm, at most MARGIN_MM either way.
    """

    vendor: Vendor
    grid: Grid
    spacing: float
    box: Box
    shift: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        return self.box.bottom - self.box.top + 1, self.box.right - self.box.left + 1

    def show(self, field: Field) -> Field:
        """Resample a field that covers the grid's whole extent to the picture's pixels."""
        rows, columns = field.shape
        per_mm = columns / (self.grid.shape[1] * LATERAL_MM)
        left = (MARGIN_MM + self.shift) * per_mm
        return resized(field, self.shape, (left, 0, left + self.grid.width_mm * per_mm, rows))

    def on_screen(self, mask: Mask) -> Mask:
        """A mask of the picture as a mask of the whole screen."""
        columns, rows = self.vendor.screen
        screen = np.zeros((rows, columns), dtype=bool)
        screen[self.box.top : self.box.bottom + 1, self.box.left : self.box.right + 1] = mask
        return screen


def open_window(vendor: Vendor, grid: Grid, shift: float) -> Window:
    """Fit the slice into the vendor's screen, centred below the header."""
    columns, rows = vendor.screen
    free_rows, free_columns = rows - vendor.header_rows - 34, columns - 2 * 62
    spacing = max(vendor.finest_pixel, grid.depth_mm / free_rows, grid.width_mm / free_columns)
    height, width = int(grid.depth_mm / spacing), int(grid.width_mm / spacing)
    left, top = (columns - width) // 2, vendor.header_rows
    box = Box(left, top, left + width - 1, top + height - 1)
    return Window(vendor=vendor, grid=grid, spacing=spacing, box=box, shift=shift)


def flow_colours(velocity: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Red to yellow towards the probe, blue to cyan away; (..., ) to (..., 3) uint8."""
    speed = np.clip(np.abs(velocity), 0, 1)[..., None]
    parts = (0.45 + 0.55 * speed, 0.02 + 0.85 * speed**2.1, 0.02 + 0.15 * speed**3)
    towards = np.concatenate(parts, axis=-1)
    colours = np.where(velocity[..., None] >= 0, towards, towards[..., ::-1])
    return np.asarray(np.clip(colours, 0, 1) * 255, dtype=np.uint8)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _write_frame(pen: ImageDraw.ImageDraw, window: Window, case_id: str, settings: str) -> None:
    """Header, settings line and depth ruler."""
    vendor, box = window.vendor, window.box
    columns, rows = vendor.screen
    font = _font(vendor.font_px)
    pen.rectangle([0, 0, columns, vendor.header_rows - 3], fill=vendor.header_rgb)
    right = columns - 6
    pen.text((6, 2), f"SIMULATED  {case_id}", fill=TEXT_RGB, font=font)
    pen.text((right, 2), "2024-01-01 10:00", fill=TEXT_RGB, font=font, anchor="ra")
    if vendor.probe:
        second = 4 + vendor.font_px
        pen.text((6, second), vendor.probe, fill=TEXT_RGB, font=font)
        pen.text((right, second), "TIs 0.4  MI 0.9", fill=TEXT_RGB, font=font, anchor="ra")
    pen.text((6, rows - vendor.font_px - 8), settings, fill=TEXT_RGB, font=font)
    for tick in range(int(window.grid.depth_mm // 5) + 1):
        row = box.top + int(tick * 5 / window.spacing)
        length = 10 if tick % 2 == 0 else 7
        pen.line([box.right + 5, row, box.right + length, row], fill=TEXT_RGB)


def _draw_bar(pen: ImageDraw.ImageDraw, window: Window, *, colour: bool) -> None:
    """The grey or velocity scale beside the picture."""
    left = 14 if window.vendor.bar == "left" else window.vendor.screen[0] - 26
    top = window.box.top + 10
    fraction = np.linspace(1, 0, BAR_ROWS)
    grey = np.repeat((235 * fraction)[:, None], 3, axis=1).astype(np.uint8)
    scale = flow_colours(2 * fraction - 1) if colour else grey
    for row, rgb in enumerate(scale.tolist()):
        pen.line([left, top + row, left + 9, top + row], fill=tuple(rgb))
    if colour:
        pen.text((left - 6, top + BAR_ROWS + 4), "-3.9", fill=TEXT_RGB, font=_font(9))


def _cross(pen: ImageDraw.ImageDraw, x: int, y: int, rgb: Rgb) -> None:
    pen.line([x - 4, y, x + 4, y], fill=rgb)
    pen.line([x, y - 4, x, y + 4], fill=rgb)


def _measure(pen: ImageDraw.ImageDraw, window: Window, mask: Mask) -> None:
    """Two pairs of burned-in calipers with their dotted lines and read-outs."""
    rgb, box = window.vendor.caliper_rgb, window.box
    for number, ((x0, y0), (x1, y1)) in enumerate(extreme_points(mask), start=1):
        x0, x1, y0, y1 = x0 + box.left, x1 + box.left, y0 + box.top, y1 + box.top  # noqa: PLW2901 - to screen pixels
        dots = np.linspace(0, 1, 40)
        pen.point([(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in dots], fill=rgb)
        _cross(pen, x0, y0, rgb)
        _cross(pen, x1, y1, rgb)
        length = np.hypot(x1 - x0, y1 - y0) * window.spacing
        place = (box.left + 4, box.bottom - 44 + 14 * number)
        pen.text(place, f"{number} D {length:.1f} mm", fill=rgb, font=_font(11))


def _on_canvas(window: Window, picture: NDArray[np.uint8]) -> Image.Image:
    columns, rows = window.vendor.screen
    canvas = np.zeros((rows, columns, 3), dtype=np.uint8)
    box = window.box
    canvas[box.top : box.bottom + 1, box.left : box.right + 1] = picture
    return Image.fromarray(canvas)


def _as_rgb(picture: Field) -> NDArray[np.uint8]:
    grey = np.clip(picture * WHITE, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def grey_screen(
    window: Window, picture: Field, case_id: str, settings: str, measured: Mask | None = None
) -> NDArray[np.uint8]:
    """The exported B-mode screen.

    Args:
        window: its layout.
        picture: display values 0-1, window shape.
        case_id: identifier burned into the header.
        settings: the line at the bottom.
        measured: what burned-in calipers go round, window shape; none are drawn without it.

    Returns:
        RGB uint8, (rows, columns, 3).
    """
    image = _on_canvas(window, _as_rgb(picture))
    pen = ImageDraw.Draw(image)
    _write_frame(pen, window, case_id, settings)
    _draw_bar(pen, window, colour=False)
    if measured is not None:
        _measure(pen, window, measured)
    return np.asarray(image)


def flow_box(window: Window, mask: Mask) -> Box:
    """The colour box the operator lays round the tumour, in screen pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    down, across = int(1.6 / window.spacing), int(2.6 / window.spacing)
    height, width = window.shape
    return Box(
        left=window.box.left + max(2, int(columns[0]) - across),
        top=window.box.top + max(2, int(rows[0]) - down),
        right=window.box.left + min(width - 3, int(columns[-1]) + across),
        bottom=window.box.top + min(height - 3, int(rows[-1]) + down),
    )


def colour_screen(
    window: Window,
    picture: Field,
    flow: Flow,
    box: Box,
    case_id: str,
    settings: str,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """The exported colour-flow screen: flow drawn over the grey inside the colour box.

    Args:
        window: its layout.
        picture: display values 0-1, window shape.
        flow: power and velocity.
        box: the colour box in screen pixels.
        case_id: identifier burned into the header.
        settings: the line at the bottom.
        rng: source of the velocity estimate's noise.

    Returns:
        RGB uint8, (rows, columns, 3).
    """
    power, velocity = window.show(flow.power), window.show(flow.velocity)
    velocity = np.clip(velocity + 0.06 * smooth_field(window.shape, (1.6, 2.4), rng), -1, 1)
    inside = np.zeros(window.shape, dtype=bool)
    top, left = box.top - window.box.top, box.left - window.box.left
    bottom, right = box.bottom - window.box.top, box.right - window.box.left
    inside[top + 1 : bottom, left + 1 : right] = True
    # colour write priority: strong echoes suppress weak flow
    drawn = (power > FLOW_THRESHOLD) & inside & ~((picture > 0.85) & (power < 0.6))
    rgb = _as_rgb(picture)
    rgb[drawn] = flow_colours(velocity[drawn])
    image = _on_canvas(window, rgb)
    pen = ImageDraw.Draw(image)
    _write_frame(pen, window, case_id, settings)
    _draw_bar(pen, window, colour=True)
    pen.rectangle([box.left, box.top, box.right, box.bottom], outline=window.vendor.box_rgb)
    return np.asarray(image)
