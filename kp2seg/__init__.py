"""kp2seg: instance masks from keypoints, discovered or annotated, as a Detectron2 plugin.

Built on ``keypointnet``; needs Detectron2, which ``make setup`` installs.
"""

from keypointnet import __version__

__all__ = ["__version__"]
