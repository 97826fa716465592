"""From sources of images to features, targets and patches."""
