"""Line searches: how far to go along a direction.

A line search is two functions on numbers, which know nothing of trees:

- ``start(value, slope, step, reference) -> m``: from the value and the slope at the start, the
  first step to try, and the value that counts as no increase, to the search, a dict of numbers;
- ``tell(m, value, slope) -> (m, took, over)``: from the value and the slope at ``m["step"]`` to the
  search that has learnt of them; whether this step is the best so far; whether the search is over.
  ``m["step"]`` is now the step to try next, and at the end the step that was taken last, 0 if there
  is none.

``gradchain.searches.along`` makes a member of a chain of them.
"""

from gradchain.searches.along import along as along
