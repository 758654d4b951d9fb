# ruff: noqa: RUF001 - letters of many scripts are what this module is about
"""Which language a text is written in, among the thirty that IFEval asks for.

In: a text, a code of ISO 639-1. Out: whether it is that language. Must not know who asks.

Most of these languages have a script of their own. Where several share one, function words and letters that the others
lack decide. The published verifier asks `langdetect`, which is random unless seeded and no longer maintained.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache

# What a letter's Unicode name begins with, per script; the languages that share it, each with its most frequent
# function words and with letters that its neighbours do not have.
_SCRIPTS: dict[str, dict[str, tuple[str, str]]] = {
    "LATIN": {
        "en": ("the of and to in is that it for was with are this you be on not as have at by from they we my i", ""),
        "de": ("der die und das ist nicht ein eine zu mit den von auf ich sie es für dem im auch sich wird sind", "ß"),
        "fr": ("le la les des est et une un dans que pour qui pas du je vous il sur au avec ce sont nous", "êœù"),
        "es": ("el la los las que de en y es un una por con para se del no su lo como más pero", "ñ¿¡"),
        "pt": ("o a os as que de em e é um uma por com para se do da não seu mais como mas dos", "ãõ"),
        "it": ("il la che di e è un una per con non sono gli del della le si nel alla ma come", "ìò"),
        "fi": ("ja on ei se että oli hän mutta ovat tai kun myös joka niin ole sen mitä minä voi kuin", ""),
        "sw": ("na ya wa kwa ni katika za la kuwa hii hiyo kama lakini yake cha si watu yangu sana wewe", ""),
        "vi": ("và của là có không được một cho những này trong với người đã các để tôi", "ăđơưạảấầậắếềệịọốồộớờợụứừựỳ"),
        "pl": ("i w nie na się jest to że z do jak ale co po od za przez są oraz dla", "ąćęłńśźż"),
    },
    "CYRILLIC": {
        "ru": ("и в не на что с как это по но он я к из для от", "ыэё"),
        "uk": ("і в не на що з як це та у до для він я від", "іїєґ"),
        "bg": ("и в на не да се за от това е като са ще си с", ""),
    },
    "DEVANAGARI": {
        "hi": ("है के में की और का से को नहीं यह हैं पर ने एक लिए", ""),
        "mr": ("आहे आणि मध्ये आहेत नाही हे ते होते या एक तो ती आपण मी", "ळ"),
        "ne": ("छ र मा को हो छन् लाई गर्न यो भएको पनि हुन्छ छैन एक", ""),
    },
    "ARABIC": {
        "ar": ("في من على أن إلى هذا التي هو لا كان ما مع هذه عن", "ةىيك"),
        "fa": ("است و در به که از این را با برای آن یک می ها", "پچژگ"),
        "ur": ("ہے کے میں کی اور کا سے کو ہیں یہ نہیں پر نے ایک", "ٹڈڑےںہ"),
    },
    "CJK": {"zh": ("", "")},
    "HIRAGANA": {"ja": ("", "")},
    "HANGUL": {"ko": ("", "")},
    "BENGALI": {"bn": ("", "")},
    "GUJARATI": {"gu": ("", "")},
    "GURMUKHI": {"pa": ("", "")},
    "HEBREW": {"he": ("", "")},
    "KANNADA": {"kn": ("", "")},
    "MALAYALAM": {"ml": ("", "")},
    "TAMIL": {"ta": ("", "")},
    "TELUGU": {"te": ("", "")},
    "THAI": {"th": ("", "")},
}
LANGUAGES = {language: script for script, languages in _SCRIPTS.items() for language in languages}
_MARKS = "\"'“”‘’«»„()[]{}<>.,;:!?…*_#`-–—।۔،؟؛"
_LETTER_WORTH = 0.5  # chosen: a letter is a weaker sign than a word, since names bring foreign letters along


def is_written_in(text: str, language: str) -> bool:
    """Tell whether a text is written in a language; where nothing speaks for another one of its script, it is.

    >>> is_written_in("Das ist nicht der Hund.", "de"), is_written_in("That is not the dog.", "de")
    (True, False)
    """
    script = LANGUAGES.get(language)
    if script is None or _script(text) != script:
        return False
    worth = {name: _evidence(text, script, name) for name in _SCRIPTS[script]}
    return worth[language] == max(worth.values())


def _script(text: str) -> str:
    """Return the script that most letters belong to; kana make a text Japanese, whatever else is in it."""
    counts = Counter(_script_of(letter) for letter in text if letter.isalpha())
    kana = counts.pop("KATAKANA", 0) + counts.get("HIRAGANA", 0)
    if kana > 0.1 * counts.total():  # chosen: Japanese prose has a third or more
        return "HIRAGANA"
    return counts.most_common(1)[0][0] if counts else ""


@cache
def _script_of(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]


def _evidence(text: str, script: str, language: str) -> float:
    """Return how much of a text speaks for a language: the share of its function words and of its own letters."""
    words, letters = _profile(script, language)
    found = [word.strip(_MARKS).lower() for word in text.split()]
    own = sum(any(letter in letters for letter in word) for word in found)
    return (sum(word in words for word in found) + _LETTER_WORTH * own) / max(1, len(found))


@cache
def _profile(script: str, language: str) -> tuple[frozenset[str], frozenset[str]]:
    words, letters = _SCRIPTS[script][language]
    return frozenset(words.split()), frozenset(letters)
