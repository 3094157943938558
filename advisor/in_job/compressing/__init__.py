"""What changes a model itself, in the job's interpreter: pruning, students, and their recovery.

Teacher is the program's own module, data are captured inputs, labels there are none. Standard
library and torch only, from Python 3.9 on. `job` says what a recipe gets, `samples` what it learns
from, `losses` how far it is from the teacher, `recovery` how it learns.
"""
