"""Who decides: rules and learned policies behind one contract."""

import sys
from types import ModuleType

# tensorboard's own switch to do without tensorflow, which stable-baselines3 would import through it.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
