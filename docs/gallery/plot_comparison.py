"""
Heavy ball beside gradient descent
==================================

Sparse regression by a diagonal network, with a warmup to the same threshold for both: at equal effective time, and at
equal steps. The first seed of the data is strong, the others are faint.
"""

import selfstab as ss
from selfstab import experiments

task = experiments.SparseRegression()
setting = experiments.Setting(threshold=2.4, momentum=0.8, warmup=500, steps=800, scale=0.1, seeds=(2, 1, 3))
data = experiments.compare(task, setting)
ax = ss.plotting.draw_comparison(data)

# %%
# The distance to the sparse solution, of the same runs.

ax = ss.plotting.draw_comparison(data, of="distance")

# %%
# The verdict from the seeds, for the mean sharpness of the last quarter: heavy ball's divided by gradient descent's,
# − 1, at equal time. Then its standard error, and the sign if it is beyond two of these, else 0. Of three seeds one
# is clearly flatter, and the verdict is still out.

found = experiments.verdict(data)
print(f"{float(found.difference):+.1%} ± {float(found.spread):.1%}, sign {int(found.sign)}")
