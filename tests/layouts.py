"""The layout of a figure as it will be drawn."""

from convexbn.reporting import plotting


def check_layout(figure):
    """Assert that no panel or legend overlaps another, or leaves the page to a side."""
    with plotting.style():
        figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert not any(legend.overlaps(box) for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    for box in (*boxes, legend):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
