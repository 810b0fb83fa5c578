"""The model: backbones, aligners, mask heads, and the meta-architecture that joins them."""
