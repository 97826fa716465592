"""The layout of a figure as it will be drawn."""

from convexbn.reporting import plotting

TITLE = r"CIFAR-100, 16 $\times$ 16 colour pixels, $n$ = 45,000, 5 seeds"  # as long as they get


def check_layout(figure):
    """Assert that no panel or legend overlaps another, and nothing leaves the page to a side."""
    with plotting.style():
        figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert not any(legend.overlaps(box) for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    title = figure.get_suptitle()
    boxes += [
        text.get_window_extent() for text in figure.texts if title and text.get_text() == title
    ]
    for box in (*boxes, legend):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
