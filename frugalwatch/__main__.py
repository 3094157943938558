"""`python -m frugalwatch`."""

from frugalwatch._entry import main

main()
