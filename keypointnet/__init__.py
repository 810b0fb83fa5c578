"""KeypointNet: 3-D keypoints of an object class, discovered from pairs of views without labels.

The core of the project. It depends on torch, roma, trimesh, pyrender and omegaconf, and never
on kp2seg or Detectron2. Conventions of cameras and coordinates are written in
``keypointnet.geometry``.
"""

__version__ = "0.1.0"
