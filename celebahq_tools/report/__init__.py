"""The dataset report: what became of every photograph, and pictures to judge it by, in one HTML file.

:mod:`view` opens a finished file or a work folder; :mod:`summary` counts and chooses what is shown; :mod:`details`
explains one face; :mod:`sprites` packs thumbnails; :mod:`sections` lays out; :mod:`build` joins them. The live pages of
``celebahq serve`` are made of the same parts.
"""
