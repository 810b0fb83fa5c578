"""Trees of synsets and WordNet's relations of a word, as lines to print."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping

from keypointnet.shapenet.catalogue import Catalogue
from keypointnet.shapenet.taxonomy import Node
from keypointnet.shapenet.wordnet import Synset, WordNet

WIDTH = 100


def tree_lines(catalogue: Catalogue, everything: bool = False) -> list[str]:
    """The collection's tree with the number of models under each synset, largest first.

    A synset with one child and no other models is joined with it by ">". One that was printed
    before, under another parent, is not opened again.

    Args:    everything: also synsets without models here.
    """
    tree, counts = catalogue.taxonomy, catalogue.counts
    own = {synset for entry in catalogue.entries for synset in entry.synsets}
    printed: set[str] = set()
    lines: list[str] = []

    def shown(names: Iterable[str]) -> list[str]:
        kept = [name for name in names if everything or counts[name]]
        return sorted(kept, key=lambda name: (-counts[name], tree.nodes[name].name, name))

    def write(name: str, depth: int) -> None:
        chain = [name]
        while True:
            children = shown(tree.nodes[chain[-1]].children)
            again = chain[-1] in printed
            printed.add(chain[-1])
            if again or len(children) != 1 or chain[-1] in own:
                break
            if counts[children[0]] != counts[chain[-1]]:
                break
            chain.append(children[0])
        joined = " > ".join(
            [*(tree.nodes[over].name for over in chain[:-1]), tree.nodes[chain[-1]].title]
        )
        above = ", see above" if again and children else ""
        lines.append(f"{'  ' * depth}{joined}: {models_here(tree.nodes[chain[-1]], counts)}{above}")
        if not again:
            for child in children:
                write(child, depth + 1)

    for root in shown(tree.roots):
        write(root, 0)
    without = sum(not entry.synsets for entry in catalogue.entries)
    if without:
        lines.append(f"without a synset: {without} models")
    hidden = sum(not counts[name] for name in tree.nodes)
    if hidden and not everything:
        lines.append(f"({hidden} synsets without models here are not shown; --all shows them)")
    return lines


def models_here(node: Node, counts: Mapping[str, int]) -> str:
    """How many models are under a synset, and how many taxonomy.json says there are."""
    of_all = "" if node.published is None else f" of {node.published}"
    n = counts[node.id]
    return f"{n}{of_all} model{'' if n == 1 and not of_all else 's'}"


def node_lines(catalogue: Catalogue, synset: str) -> list[str]:
    """A synset's place in a collection's tree: what it is, above it, beside it and below it."""
    tree, counts = catalogue.taxonomy, catalogue.counts
    node = tree.nodes[synset]

    def listed(names: Iterable[str]) -> str:
        return ", ".join(f"{tree.nodes[name].name} ({counts[name]})" for name in names)

    lines = [f"{node.title}: {models_here(node, counts)}"]
    above = " > ".join(tree.nodes[name].name for name in tree.path(synset)[1:])
    lines += _paragraph("hypernyms", above)
    lines += _paragraph("sister terms", listed(tree.sisters(synset)))
    lines += _paragraph("below it", listed(node.children))
    return lines


def synset_lines(
    wordnet: WordNet, synset: Synset, counts: Mapping[str, int] | None = None
) -> list[str]:
    """A synset of WordNet: gloss, hypernyms, sister terms, kinds and part meronyms.

    Args:    counts: models under each synset of a collection, shown where there are any.
    """
    counts = counts or {}

    def listed(synsets: Iterable[Synset]) -> str:
        return ", ".join(
            f"{s.name} ({counts[s.id]} models)" if counts.get(s.id) else s.name for s in synsets
        )

    lines = [f"{', '.join(synset.names)} ({synset.id}): {synset.gloss}"]
    if counts.get(synset.id):
        lines += [f"  models here: {counts[synset.id]}"]
    for path in wordnet.hypernym_paths(synset.id):
        lines += _paragraph("hypernyms", " > ".join(over.name for over in path))
    lines += _paragraph("sister terms", listed(wordnet.sister_terms(synset.id)))
    lines += _paragraph("kinds of it", listed(wordnet.hyponyms(synset.id)))
    for whole, parts in wordnet.part_meronyms(synset.id):
        of = "" if whole.id == synset.id else f" of every {whole.name}"
        lines += _paragraph(f"part meronyms{of}", ", ".join(" or ".join(p.names) for p in parts))
    lines += _paragraph("parts by its gloss", ", ".join(wordnet.parts_in_gloss(synset.id)))
    return lines


def one_line(name: str, known: Iterable[str]) -> str:
    """A model or synset and what is known about it, on one line of its own."""
    rest = textwrap.shorten(", ".join(known), max(20, WIDTH - 4 - len(name)), placeholder=" ...")
    return f"  {name}  {rest}".rstrip()


def _paragraph(title: str, text: str) -> list[str]:
    if not text:
        return []
    return textwrap.wrap(
        f"{title}: {text}",
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
        break_long_words=False,
    )
