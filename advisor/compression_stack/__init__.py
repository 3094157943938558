"""Which smaller model, in which precision, served in which way: searched as one space.

Runs in a building process of its own: nothing else imports Optuna.
"""
