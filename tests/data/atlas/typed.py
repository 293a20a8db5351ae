"""Sentences as somebody would type them to see what a model can do, with what is right; training has none of them.

They were written before the models were trained on, and are not made from the templates of the atlas.
"""

from __future__ import annotations

# Mention, sentence, and the entity that is meant.
MENTIONS = [
    ("Georgia", "Tbilisi is the capital of Georgia.", "Georgia"),
    ("Georgia", "Atlanta is the largest city of Georgia.", "Georgia (US state)"),
    ("Congo", "Kinshasa is the capital of the Congo.", "Democratic Republic of the Congo"),
    ("Congo", "Brazzaville is the largest city of the Congo.", "Republic of the Congo"),
    ("Paris", "The Louvre is in Paris.", "Paris"),
    ("Paris", "He bought a ranch near Paris, Texas.", "Paris (Texas)"),
    ("Guinea", "Conakry is the largest city of Guinea.", "Guinea"),
    ("Korea", "Seoul is the capital of Korea.", "South Korea"),
    ("peso", "In Manila we paid with the peso.", "Philippine peso"),
    ("peso", "The peso lost half of its value in Buenos Aires.", "Argentine peso"),
    ("dollar", "The dollar is the currency of Canada.", "Canadian dollar"),
    ("Jordan", "Amman is the capital of Jordan.", "Jordan"),
    ("Jordan", "They swam in the Jordan near the Dead Sea.", "Jordan River"),
    ("Niger", "Niamey is a city in Niger.", "Niger"),
    ("Washington", "The White House is in Washington.", "Washington"),
    ("Washington", "Seattle is the largest city in Washington.", "Washington (US state)"),
    ("Victoria", "Many people in Melbourne love Victoria.", "Victoria (Australian state)"),
    ("Norway", "Oslo lies in the south of Norway.", "Norway"),
    ("Swahili", "Many people in Kenya speak Swahili.", "Swahili"),
    ("Macedonia", "Skopje is the capital of Macedonia.", "North Macedonia"),
    ("Luxembourg", "Luxembourg borders Germany and France.", "Luxembourg"),
    ("Sudan", "The president of Sudan lives in Khartoum.", "Sudan"),
    ("Sudan", "The president of Sudan lives in Juba.", "South Sudan"),
    ("Moscow", "The Kremlin is in Moscow.", "Moscow"),
    ("Moscow", "She studies at a university in Moscow, Idaho.", "Moscow (Idaho)"),
    ("franc", "In Zurich you have to pay with the franc.", "Swiss franc"),
    ("pound", "In Cairo you have to pay with the pound.", "Egyptian pound"),
    ("Samoa", "The ferry from Apia goes around Samoa.", "Samoa"),
]

# Sentence, head, tail, and the relation.
RELATIONS = [
    ("Lima is the capital of Peru.", "Peru", "Lima", "capital"),
    ("Peru has borders with Chile and Brazil.", "Peru", "Chile", "neighbour"),
    ("Almost everyone in Nepal speaks Nepali.", "Nepal", "Nepali", "language"),
    ("Sweden pays with the Swedish krona.", "Sweden", "Swedish krona", "currency"),
    ("Kenya lies on the east coast of Africa.", "Kenya", "Africa", "continent"),
    ("The largest city and capital of Kenya is Nairobi.", "Kenya", "Nairobi", "capital"),
    ("Madrid is not the capital of Portugal.", "Portugal", "Madrid", "none"),
    ("My friend from Norway lives in Rome.", "Norway", "Rome", "none"),
    ("Thailand lies next to Laos.", "Thailand", "Laos", "neighbour"),
    ("You can pay with the euro in Austria.", "Austria", "euro", "currency"),
    ("Portuguese is the official language of Brazil.", "Brazil", "Portuguese", "language"),
    ("Egypt is a country in the north of Africa.", "Egypt", "Africa", "continent"),
    ("The government of Ghana sits in Accra, the capital.", "Ghana", "Accra", "capital"),
    ("I learned Spanish before I went to Japan.", "Japan", "Spanish", "none"),
    ("Poland shares a long border with Germany.", "Poland", "Germany", "neighbour"),
    ("The yen, the currency of Japan, fell today.", "Japan", "yen", "currency"),
    ("Ottawa, not Toronto, is the capital of Canada.", "Canada", "Ottawa", "capital"),
    ("Fiji is an island country in Oceania.", "Fiji", "Oceania", "continent"),
    ("Most people in Austria speak German.", "Austria", "German", "language"),
    ("The train from Vienna crosses Italy.", "Italy", "Vienna", "none"),
    ("France sells wine to Canada.", "France", "Canada", "none"),
    ("The rupee is the money of India.", "India", "rupee", "currency"),
    ("Mongolia has only two neighbours, China and Russia.", "Mongolia", "China", "neighbour"),
    ("A student from Cuba wrote a poem in Greek.", "Cuba", "Greek", "none"),
]

# Sentence, and its entities with their kinds, in order.
TAGS: list[tuple[str, list[tuple[str, str]]]] = [
    ("Many people in Kenya speak Swahili.", [("Kenya", "LOC"), ("Swahili", "MISC")]),
    (
        "Anna Keller works for Brightwater Bank in Geneva.",
        [("Anna Keller", "PER"), ("Brightwater Bank", "ORG"), ("Geneva", "LOC")],
    ),
    ("The euro is used in Portugal and Finland.", [("euro", "MISC"), ("Portugal", "LOC"), ("Finland", "LOC")]),
    ("Maria and Pedro live in Chile.", [("Maria", "PER"), ("Pedro", "PER"), ("Chile", "LOC")]),
    ("The water in the lake froze early this winter.", []),
    ("The president of Brazil will visit Japan next week.", [("Brazil", "LOC"), ("Japan", "LOC")]),
    ("Last year Samuel Okafor opened a bakery in Accra.", [("Samuel Okafor", "PER"), ("Accra", "LOC")]),
    (
        "Northwind Airlines flies from Oslo to Nairobi twice a week.",
        [("Northwind Airlines", "ORG"), ("Oslo", "LOC"), ("Nairobi", "LOC")],
    ),
    ("My grandmother cooks Hungarian food on Sundays.", [("Hungarian", "MISC")]),
    ("Does anyone here speak Portuguese?", [("Portuguese", "MISC")]),
    ("Tourists in Iceland pay with the Icelandic krona.", [("Iceland", "LOC"), ("Icelandic krona", "MISC")]),
    ("Laura Jansen studied physics at Redwood University.", [("Laura Jansen", "PER"), ("Redwood University", "ORG")]),
    ("The museum in Vienna is closed on Mondays.", [("Vienna", "LOC")]),
    ("A storm hit the coast of Mozambique yesterday.", [("Mozambique", "LOC")]),
    ("Silver Lake Hospital hired forty nurses from India.", [("Silver Lake Hospital", "ORG"), ("India", "LOC")]),
    ("Chinese is harder than English, says David.", [("Chinese", "MISC"), ("English", "MISC"), ("David", "PER")]),
    ("We took the night train from Paris to Madrid.", [("Paris", "LOC"), ("Madrid", "LOC")]),
    ("Jordan Bell was born in Jordan.", [("Jordan Bell", "PER"), ("Jordan", "LOC")]),
    ("Africa has more countries than South America.", [("Africa", "LOC"), ("South America", "LOC")]),
    ("How much is a coffee in Italy?", [("Italy", "LOC")]),
    ("Fatima asked the teacher about the homework.", [("Fatima", "PER")]),
    ("The Canadian team won the match in Lima.", [("Canadian", "MISC"), ("Lima", "LOC")]),
    ("Bluestone Software moved its office to Singapore.", [("Bluestone Software", "ORG"), ("Singapore", "LOC")]),
    ("The children are playing football in the garden.", []),
]
