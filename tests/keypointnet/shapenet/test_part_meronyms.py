from __future__ import annotations

from typing import NamedTuple

from keypointnet.shapenet.part_meronyms import link_lines, link_meronyms, wordnet_meronyms
from keypointnet.shapenet.parts import Part

# As WordNet 3.0 gives them: chair has back and leg, an armchair arms besides.
WORDNET = {"chair": ["back", "backrest", "leg"], "armchair": ["arm"], "car": ["car_door", "window"]}


def tree(*names: str) -> Part:
    return Part("root", children=[Part(name) for name in names])


def test_part_names_are_linked_in_any_number_and_spelling() -> None:
    names = ("Chair_Legs.001", "leg", "back_surface_vertical_bar", "seat", "component 3")
    links = link_meronyms(tree(*names), ["chair"], WORDNET)
    assert links.linked == {
        "Chair_Legs.001": "leg",
        "leg": "leg",
        "back_surface_vertical_bar": "back",
    }
    assert links.unknown == ["seat"]
    assert links.without == ["backrest"]
    assert link_lines(links) == [
        "in the dictionary: Chair_Legs.001 = leg, leg, back_surface_vertical_bar = back",
        "not in the dictionary: seat",
        "only in the dictionary: backrest",
    ]


def test_every_word_for_the_class_counts_and_unknown_ones_give_nothing() -> None:
    links = link_meronyms(tree("arms", "legs"), ["armchair", "chair", "fauteuil"], WORDNET)
    assert links.linked == {"arms": "arm", "legs": "leg"}
    assert link_meronyms(tree("arms"), ["fauteuil"], WORDNET).unknown == ["arms"]


def test_a_meronym_of_two_words_needs_both_and_comes_first() -> None:
    links = link_meronyms(tree("door_of_car", "door"), ["car"], WORDNET)
    assert links.linked == {"door_of_car": "car door"}
    assert links.unknown == ["door"]
    more = {"car": ["door", "car_door"]}
    assert link_meronyms(tree("CarDoor"), ["car"], more).linked == {"CarDoor": "car door"}


def test_a_function_serves_as_well_and_the_roots_name_is_not_looked_at() -> None:
    asked = []

    def meronyms(word: str) -> list[str]:
        asked.append(word)
        return ["root", "leg"]

    links = link_meronyms(tree("leg"), ["chair"], meronyms)
    assert (links.linked, links.without, asked) == ({"leg": "leg"}, ["root"], ["chair"])


class Meaning(NamedTuple):
    id: str
    names: tuple[str, ...]


class SmallWordNet:
    """Two meanings of chair, and what the first inherits."""

    chair = Meaning("03001627", ("chair",))
    seat = Meaning("04161981", ("seat",))
    back = Meaning("02769075", ("back", "backrest"))
    leg = Meaning("03654576", ("leg",))

    def senses(self, word: str) -> list[Meaning]:
        return [self.chair, Meaning("10468962", ("president", "chair"))] if word == "chair" else []

    def part_meronyms(self, synset_id: str) -> list[tuple[Meaning, list[Meaning]]]:
        if synset_id != self.chair.id:
            return []
        return [(self.chair, [self.back, self.leg]), (self.seat, [self.leg])]


def test_a_wordnet_is_asked_for_the_synset_or_the_first_meaning_of_a_word() -> None:
    meronyms = wordnet_meronyms(SmallWordNet())
    assert meronyms("chair") == meronyms("03001627") == ["back", "backrest", "leg"]
    assert meronyms("fauteuil") == meronyms("10468962") == []
    links = link_meronyms(tree("legs", "chair_back", "seat"), ["03001627"], meronyms)
    assert links.linked == {"legs": "leg", "chair_back": "back"}
