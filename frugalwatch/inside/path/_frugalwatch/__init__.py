"""FrugalWatch inside a job: private, standard library only. `frugalwatch run --no-hook` is without.

Modules here import nothing at their top that an idle interpreter has not loaded anyway: start-up
stays under 5 ms, and a job finds nothing in `sys.modules` that it did not import.
"""
