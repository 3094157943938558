"""Students: smaller models that learn to answer as the program's own does, from captured inputs.

Runs in the job's interpreter like `compressing`, whose loop, losses and steps it uses. Standard
library and torch only, from Python 3.9 on. `candidates` says which students there may be, `inputs`
what they learn from, `students` which of them is chosen, `exits` what to do where none can be had.
"""
