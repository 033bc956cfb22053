"""Pages for people: one HTML file with everything in it, readable offline, on a phone, in the dark and by keyboard.

What a report is made of: :mod:`parts` (tables, tiles, figures, slides), :mod:`plots` (matplotlib drawings in the page's
own colours), :mod:`images` (pictures as data URIs) and :func:`page.render_page`, which joins sections into a page. All
text is escaped; :func:`text.show_text` makes what file names hide visible.
"""
