"""python -m havrrpd: the same as the command havrrpd."""

from havrrpd.cli import main

main()
