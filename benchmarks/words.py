"""The words of which the workload's names and texts are made (words.txt: lists with their names)."""

from pathlib import Path

_PARAGRAPHS = Path(__file__).with_name("words.txt").read_text().split("\n\n")
_LISTS = {
    name: " ".join(words.split()).split(", ")
    for name, _, words in (paragraph.partition(": ") for paragraph in _PARAGRAPHS)
}
TEAMS = _LISTS["teams"]
TOPICS = _LISTS["topics"]
BRANDS = _LISTS["brands"]
REGIONS = _LISTS["regions"]
AGENTS = _LISTS["agents"]
VERBS = _LISTS["verbs"]
SUBJECTS = _LISTS["subjects"]
WORDS = [*SUBJECTS, *_LISTS["others"]]
PLACES = _LISTS["places"]
