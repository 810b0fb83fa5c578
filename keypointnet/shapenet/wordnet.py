"""WordNet 3.0, read from a folder on this machine through nltk: optional, nothing is downloaded.

ShapeNet's synset ids are offsets of nouns in WordNet 3.0's data.noun, as eight digits. nltk and the
database (Debian's wordnet-base) are needed by what asks this module alone; `find_wordnet` says
whether they are there.

Source: the database's format, the manual pages wndb(5WN) and lexnames(5WN).
"""

from __future__ import annotations

import functools
import io
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keypointnet.shapenet.words import near_words, plain

DEBIAN_FOLDER = Path("/usr/share/wordnet")
VERSION = "3.0"
_FILES = ("data.noun", "index.noun", "noun.exc")
_ARTIFACT = "00021939"
INSTALL = (
    "pip install nltk and apt install wordnet-base, or name a folder with "
    "WordNet 3.0's data.noun, index.noun and noun.exc by WNSEARCHDIR or --wordnet"
)


class WordNetError(ValueError):
    """WordNet is not there, is not version 3.0, or does not know what was asked for."""


@dataclass(frozen=True)
class Synset:
    """A noun's meaning. id: eight digits.  names: its lemmas, with spaces.  gloss: what it is."""

    id: str
    names: tuple[str, ...]
    gloss: str

    @property
    def name(self) -> str:
        """Its first lemma."""
        return self.names[0]


class WordNet:
    """The nouns of a WordNet 3.0 database.

    Lists of synsets are in the order of their names, senses of a word by frequency.

    Args:    folder: has data.noun, index.noun and noun.exc.
    Raises:  WordNetError: nltk is missing, or the folder is no WordNet 3.0.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        missing = [name for name in _FILES if not (self.folder / name).is_file()]
        if missing:
            raise WordNetError(
                f"WordNet: expected {', '.join(_FILES)} in {self.folder}, there is no "
                f"{' and no '.join(missing)}; {INSTALL}"
            )
        self._check_version()
        self._reader, self._nltk_error = _nltk_reader(self.folder)

    def _check_version(self) -> None:
        with (self.folder / "data.noun").open("rb") as file:
            head = file.read(4096)
        found = re.search(r"WordNet (\d[\d.]*\d) Copyright", head.decode("latin-1"))
        if found is None or found[1] != VERSION:
            version = f"version {found[1]}" if found else "no version"
            raise WordNetError(
                f"WordNet: {self.folder / 'data.noun'} has {version}; ShapeNet's ids are offsets "
                f"of WordNet {VERSION}; {INSTALL}"
            )

    def get(self, synset_id: str) -> Synset | None:
        """The synset of an id; None where no noun begins there (ShapeNet made ids of its own)."""
        if not re.fullmatch(r"\d{8}", synset_id):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # None says what the warning would
            try:
                found = self._reader.synset_from_pos_and_offset("n", int(synset_id))
            except self._nltk_error as error:
                raise WordNetError(f"WordNet: {self.folder / 'data.noun'}: {error}") from error
        return None if found is None else _synset(found)

    def senses(self, word: str) -> list[Synset]:
        """The meanings of a noun, in either number, most frequent first."""
        found = self._reader.synsets(plain(word).replace(" ", "_"), "n")
        if not found:
            found = self._reader.synsets(re.sub(r"\s+", "_", word.strip().lower()), "n")
        return list(dict.fromkeys(_synset(synset) for synset in found))

    def hypernyms(self, synset_id: str) -> list[Synset]:
        """What it is a kind of, or an instance of."""
        synset = self._nltk(synset_id)
        return _sorted([*synset.hypernyms(), *synset.instance_hypernyms()])

    def hyponyms(self, synset_id: str) -> list[Synset]:
        """The kinds of it, and its instances."""
        synset = self._nltk(synset_id)
        return _sorted([*synset.hyponyms(), *synset.instance_hyponyms()])

    def hypernym_paths(self, synset_id: str) -> list[list[Synset]]:
        """From its hypernym up to "entity", one for each way there is; shortest first."""
        paths = [path[-2::-1] for path in self._nltk(synset_id).hypernym_paths()]
        read = [[_synset(synset) for synset in path] for path in paths if path]
        return sorted(read, key=lambda path: (len(path), [synset.names for synset in path]))

    def sister_terms(self, synset_id: str) -> list[Synset]:
        """The other kinds of its hypernyms."""
        sisters = {
            sister.id: sister
            for parent in self.hypernyms(synset_id)
            for sister in self.hyponyms(parent.id)
            if sister.id != synset_id
        }
        return sorted(sisters.values(), key=_order)

    def part_meronyms(self, synset_id: str) -> list[tuple[Synset, list[Synset]]]:
        """Its parts, its own and its hypernyms', as [(whole, parts)], nearest first.

        What is an artifact takes none from above "artifact", whose parts are those of anything.
        """
        wholes = _upwards(self._nltk(synset_id))
        if any(_id(whole) == _ARTIFACT for whole in wholes):
            general = {_id(whole) for whole in _upwards(self._nltk(_ARTIFACT))}
            wholes = [whole for whole in wholes if _id(whole) not in general]
        parts = [(_synset(whole), _sorted(whole.part_meronyms())) for whole in wholes]
        return [(whole, its_parts) for whole, its_parts in parts if its_parts]

    def parts_in_gloss(self, synset_id: str) -> list[str]:
        """Things that its gloss calls its own: "a chair that swivels on its base" gives base.

        Of the three words after each "its", the first that can be an artifact.
        """
        gloss = _synset(self._nltk(synset_id)).gloss
        found = []
        for words in re.findall(r"\bits ((?:[a-z]+ ?){1,3})", gloss):
            found += [word for word in words.split() if self._can_be_artifact(word)][:1]
        return list(dict.fromkeys(found))

    def _can_be_artifact(self, word: str) -> bool:
        return any(
            hypernym.id == _ARTIFACT
            for sense in self.senses(word)
            for path in self.hypernym_paths(sense.id)
            for hypernym in path
        )

    def lemmas(self) -> Iterator[str]:
        """Every noun, with spaces, in lower case."""
        return (name.replace("_", " ") for name in self._reader.all_lemma_names(pos="n"))

    def near(self, word: str) -> list[str]:
        """Nouns that a mistyped one may have meant."""
        first = plain(word)[:1]
        return near_words(word, (lemma for lemma in self.lemmas() if lemma.startswith(first)))

    def _nltk(self, synset_id: str) -> Any:
        if self.get(synset_id) is None:
            raise WordNetError(f"WordNet: no noun of WordNet {VERSION} has the offset {synset_id}")
        return self._reader.synset_from_pos_and_offset("n", int(synset_id))


def find_wordnet(folder: Path | None = None) -> WordNet | None:
    """WordNet where it can be had, else None.

    Args:    folder: of the database; without one WNSEARCHDIR, WNHOME/dict, then Debian's folder.
    Raises:  WordNetError: a folder was named, here or by the environment, and cannot be used.
    """
    named = folder or _folder_of_environment()
    if named is None and not (DEBIAN_FOLDER / _FILES[0]).is_file():
        return None
    try:
        return _opened(named or DEBIAN_FOLDER)
    except WordNetError:
        if named is None:
            return None
        raise


def open_wordnet(folder: Path | None = None) -> WordNet:
    """As `find_wordnet`, for what cannot do without.

    Raises:  WordNetError: it is not there; says what to install.
    """
    return _opened(folder or _folder_of_environment() or DEBIAN_FOLDER)


def _folder_of_environment() -> Path | None:
    if os.environ.get("WNSEARCHDIR"):
        return Path(os.environ["WNSEARCHDIR"])
    return Path(os.environ["WNHOME"], "dict") if os.environ.get("WNHOME") else None


@functools.lru_cache(maxsize=4)
def _opened(folder: Path) -> WordNet:
    return WordNet(folder)


def _nltk_reader(folder: Path) -> tuple[Any, type[Exception]]:
    """A reader of a folder by nltk, and what it raises."""
    try:
        import nltk.data
        from nltk.corpus.reader.wordnet import WordNetCorpusReader
        from nltk.corpus.reader.wordnet import WordNetError as NltkError
    except ImportError as error:
        raise WordNetError(f"WordNet: nltk cannot be imported ({error}); {INSTALL}") from error

    class NounReader(WordNetCorpusReader):
        """A reader by nltk which finds nothing but the nouns: the rest would only take time."""

        def open(self, file: str) -> io.TextIOBase:
            if file in _FILES:
                # from memory, since nltk keeps data.noun open
                return io.TextIOWrapper(io.BytesIO((folder / file).read_bytes()), "utf-8")
            # Debian leaves out lexnames, which nltk wants for names that nobody asks for here.
            numbered = "".join(f"{i:02d}\tfile.{i:02d}\t0\n" for i in range(45))
            return io.StringIO(numbered if file == "lexnames" else "")

        def map_wn(self, version: str = "wordnet") -> None:
            """No map to other versions: it would take one from nltk's own data."""

    # nltk reads below the folders of this list alone
    if str(folder) not in nltk.data.path:
        nltk.data.path.append(str(folder))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The multilingual functions")
        try:
            return NounReader(str(folder), None), NltkError
        except (OSError, ValueError, StopIteration, NltkError) as error:
            raise WordNetError(f"WordNet: {folder} cannot be read ({error}); {INSTALL}") from error


def _id(synset: Any) -> str:
    return f"{synset.offset():08d}"


def _synset(synset: Any) -> Synset:
    names = tuple(name.replace("_", " ") for name in synset.lemma_names())
    return Synset(_id(synset), names, synset.definition())


def _upwards(synset: Any) -> list[Any]:
    """A synset of nltk's and all that it is a kind of, nearest first."""
    return [synset, *synset.closure(lambda s: sorted(s.hypernyms(), key=lambda h: h.name()))]


def _order(synset: Synset) -> tuple[str, str]:
    return synset.name.lower(), synset.id


def _sorted(synsets: list[Any]) -> list[Synset]:
    return sorted({_synset(synset) for synset in synsets}, key=_order)
