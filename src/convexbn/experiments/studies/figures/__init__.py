"""Figures of studies, a module each: trends with what varies, and draws of the images."""
