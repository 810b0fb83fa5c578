"""The whole loop: discovered keypoints guide masks; true ones, and none, to compare with."""
