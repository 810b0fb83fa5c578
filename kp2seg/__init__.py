"""kp2seg: instance masks from keypoints, discovered or annotated, as a Detectron2 plugin.

Importing it puts the meta-architecture, the backbones and the data sets into Detectron2's
registries; no file is looked at. Without Detectron2, which `make setup` installs, there is
`kp2seg.zoo` alone.
"""

import importlib.util
import warnings

from keypointnet import __version__

__all__ = ["__version__"]

if importlib.util.find_spec("detectron2") is not None:
    with warnings.catch_warnings():
        # Detectron2 0.6 compiles small functions when it is imported: nothing a user can mend.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        from kp2seg.data.catalog import register_datasets
        from kp2seg.modeling import backbones, discovering, meta_arch

    __all__ += ["backbones", "discovering", "meta_arch"]
    register_datasets()
