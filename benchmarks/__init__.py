"""gradchain beside its peers, in one process: ``python -m benchmarks --help``.

``optimizers`` says what is compared (an optimizer is one entry), ``cases`` on which trees,
``measures`` what is measured, ``frame`` how: contestants take turns, medians are shown, ratios are
taken turn by turn.
"""
