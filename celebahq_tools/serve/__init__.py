"""Live pages: a work folder or a training run, watched in a browser while it grows, and faces reviewed by keyboard.

:mod:`access` decides who may ask for what; :mod:`live` follows a journal; :mod:`work_app` and :mod:`page_app` answer.
Nothing here opens a file whose name came from a request.
"""
