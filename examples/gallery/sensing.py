"""
Sensing
=======

Test.
"""

import leanrank as lr

print(lr.__version__)
