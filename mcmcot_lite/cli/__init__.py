"""The command line: train, sample, reconstruct, inpaint, evaluate runs that live in a folder.

Nothing else of the package imports it. :mod:`.app` runs a command and turns errors into one line,
:mod:`.parser`, :mod:`.fields` (options made of dataclass fields) and :mod:`.inputs` read arguments,
:mod:`.train`, :mod:`.read` and :mod:`.complete` are the commands, :mod:`.folder` and :mod:`.log`
the files of a run, :mod:`.pictures` its pictures.
"""

from mcmcot_lite.cli.app import main

__all__ = ["main"]
