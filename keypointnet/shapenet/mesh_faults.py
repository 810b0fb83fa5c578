"""What is wrong with the faces of a mesh: non-manifold edges, faces wound the wrong way.

A pair of faces that share an edge and no third face should run along it in opposite directions.
F = faces of a clean soup.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from keypointnet.shapenet.surfaces import point_ids


@dataclass(frozen=True)
class MeshFaults:
    """Shares in [0, 1].

    open_edges:     of the edges, those with one face.
    non_manifold:   of the edges, those with three faces or more.
    inconsistent:   of the edges with two faces, those that both run along in the same direction.
    inside_out:     of the area, what belongs to closed pieces whose faces are wound inwards.
    """

    open_edges: float
    non_manifold: float
    inconsistent: float
    inside_out: float


def find_mesh_faults(corners: np.ndarray) -> MeshFaults:
    """Look at the edges of a soup.

    Args:    corners: (F, 3, 3), normalised and clean (`surfaces.clean_faces`), F at least 1.
    """
    n_faces = len(corners)
    ids = point_ids(corners)
    start, stop = ids.reshape(-1), np.roll(ids, -1, axis=1).reshape(-1)
    low, high = np.minimum(start, stop), np.maximum(start, stop)
    _, edge, uses = np.unique(low * (1 << 32) + high, return_inverse=True, return_counts=True)
    edge = edge.reshape(-1)
    # +1 where a face runs from the lower to the higher point: a good pair adds up to 0.
    direction = np.bincount(edge, weights=np.where(start < stop, 1, -1), minlength=len(uses))
    paired = uses == 2
    turned = paired & (direction != 0)

    side = np.flatnonzero(paired[edge])
    side = side[np.argsort(edge[side], kind="stable")]
    first, second = side[0::2] // 3, side[1::2] // 3
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(n_faces, n_faces))
    n_pieces, piece = connected_components(graph, directed=False)
    bad = np.zeros(n_pieces, dtype=bool)  # open, non-manifold or inconsistent: no inside
    bad[piece[np.flatnonzero(~paired[edge] | turned[edge]) // 3]] = True
    a, b, c = corners.transpose(1, 0, 2)
    volume = np.bincount(piece, weights=(a * np.cross(b, c)).sum(axis=1), minlength=n_pieces)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    inside_out = ~bad & (volume < 0)
    return MeshFaults(
        open_edges=float((uses == 1).mean()),
        non_manifold=float((uses > 2).mean()),
        inconsistent=float(turned.sum() / max(paired.sum(), 1)),
        inside_out=float(area[inside_out[piece]].sum() / area.sum()),
    )
