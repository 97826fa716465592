"""One module per figure: `table`, from the big tables to its tidy one, and `draw`, from that alone.

`draw(table, title)` takes a DataFrame with the module's `COLUMNS` and the title, and returns a
matplotlib Figure. The tidy tables are small and are kept beside the figures, which can be drawn
again from them without what was expensive. Accuracies are fractions in the tables and percent in
the figures. Lines are means over the seeds and bands one standard deviation to each side; an open
marker is a solve without certificate.
"""
