"""Generated chat texts: what people tell an assistant, what it answers, and what they ask about it later.

The same seed gives the same texts. Each tenant has its own set of people, whose names recur as in real conversations;
places, things and numbers vary, so that most messages and queries are distinct.
"""

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass

_CIRCLE = 10

_WORDS = {
    "person": """Ada Amir Ana Anselm Aoife Beatriz Benno Bilal Carla Chidi Clara Dagny Damaris Dario Dunja Edda Efe
        Elio Esra Farid Femke Fiona Gero Giulia Gregor Hana Hedda Hugo Ibrahim Ilse Imre Ines Ivo Jana Jelena Joris
        Jun Kaito Katya Keziah Lale Lasse Leonie Lin Lucia Magnus Malik Marit Mateo Mila Nadia Nils Noor Odile Olga
        Oskar Paloma Pavel Petra Quentin Rahel Ravi Rosa Ruben Sana Selim Signe Tamsin Teo Tove Ulla Umar Valentin
        Vera Wanda Willem Xenia Yara Yusuf Zeno Zoe""",
    "place": """Lisbon Bergen Kyoto Porto Ghent Tartu Bologna Valencia Krakow Aarhus Oaxaca Galway Trieste Leipzig
        Utrecht Malmo Cusco Hoi-An Tbilisi Zagreb Granada Nantes Turku Basel Lecce Pune Quito Hobart Kigali Halifax
        Bristol Dresden Ljubljana Salamanca Reykjavik Graz Cork Gdansk Montevideo Wellington""",
    "venue": """library bakery rooftop harbour market museum courtyard pool workshop clinic station park theatre
        garden kitchen studio playground bookshop gym allotment cinema observatory""",
    "food": """lentil-soup risotto dumplings sourdough ramen shakshuka pancakes paella falafel goulash pierogi
        tiramisu bibimbap moussaka laksa ceviche chowder gnocchi baklava curry focaccia tagine""",
    "hobby": """pottery climbing chess birdwatching knitting swimming cycling photography beekeeping fencing sailing
        calligraphy woodworking astronomy gardening running judo sketching bouldering origami rowing baking""",
    "animal": """cat dog parrot rabbit tortoise hamster pony goldfish kitten puppy ferret canary gecko hen""",
    "thing": """laptop bicycle camera violin backpack kettle telescope tent headphones sofa drone printer guitar
        keyboard umbrella heater scooter tablet lamp blender watch microscope jacket piano suitcase""",
    "colour": "red teal mustard navy olive white copper violet grey turquoise black cream",
    "job": """nurse architect baker teacher translator welder paramedic librarian electrician surveyor illustrator
        chemist gardener pilot accountant carpenter midwife geologist editor potter""",
    "team": """billing onboarding search payments logistics design platform support research analytics security
        mobile""",
    "project": """Heron Lantern Juniper Compass Sundial Marble Otter Saffron Quartz Beacon Willow Kestrel Tundra
        Anchor Pebble Cobalt""",
    "language": "Portuguese Danish Japanese Polish Turkish Finnish Hindi Greek Catalan Swahili Korean Welsh",
    "tool": "Postgres Figma Terraform Excel Blender Kafka Photoshop Grafana LaTeX Jenkins Notion Rust Python Go",
    "subject": """volcanoes bridges whales medieval-maps jazz glaciers mushrooms railways lighthouses comets tea
        ceramics folk-tales beekeeping espionage opera robots coral-reefs""",
    "illness": "migraine hay-fever backache flu tendonitis insomnia sprained-ankle toothache cold bronchitis",
    "diet": "vegan vegetarian gluten-free lactose-free kosher halal nut-free low-salt",
    "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "month": "January February March April May June July August September October November December",
    "when": """yesterday tonight tomorrow last-week next-week this-morning over-the-weekend two-days-ago
        on-Friday next-month last-summer this-spring""",
    "relative": "sister brother mother father cousin aunt uncle neighbour grandmother nephew daughter son flatmate",
    "feeling": "relieved nervous thrilled exhausted proud annoyed hopeful homesick curious overwhelmed content",
}

_SAID = """
My {relative} {person} moved to {place} in {month}.
I adopted a {colour} {animal} and we call it {person}.
{person} and I are taking a {hobby} class every {day}.
I can't eat {food} any more, the doctor wants me {diet}.
We booked the train to {place} for the {ordinal} of {month}.
I left my {thing} at the {venue} in {place} {when}.
{person} got the job as a {job} in {place}!
The rent in {place} goes up to {money} from {month} on.
I started learning {language} with {person} {when}.
Honestly I felt {feeling} after the talk with {person}.
The {team} team wants project {project} done by the {ordinal} of {month}.
{person} broke the {thing} and offered {money} for it.
My {relative}'s birthday is on the {ordinal} of {month}, please remind me.
For dinner {person} made {food} and it was amazing.
I've had a {illness} since {day}, so no {hobby} for me this week.
We are thinking of leaving {place} for {place} next {month}.
I prefer {tool} over {tool}, mostly because {person} taught me.
Our {animal} ran away near the {venue}, {person} found it {when}.
I promised {person} to bring {food} to the {venue} on {day}.
The meeting with {person} about {project} moved to {day} at {time}.
I finally sold the {colour} {thing} for {money}.
{person} is allergic to {food} and to every {animal}.
Did I tell you that {person} is getting married in {place}?
I read a book about {subject} by someone called {person}, loved it.
My flight to {place} leaves at {time} from gate {number}.
I run {number} kilometres around the {venue} each {day}.
We spent {money} on a {thing} for {person}.
The new flat has a {colour} door and {number} windows to the {venue}.
I want to write about {subject} some day.
{person} said the {venue} in {place} closes at {time}.
I quit my job as a {job} {when}.
My password manager died with the old {thing}, what a mess.
{person}'s daughter started school in {place} {when}.
I've been sleeping badly since {month}, maybe it's the {thing} next door.
We need {number} chairs for the party at the {venue}.
I can only do calls after {time}, {person} picks up the kids on {day}.
The doctor said my {illness} should be gone by {month}.
{person} wants to visit the {venue} before we go to {place}.
The migration to {tool} broke {team} {when}, we lost {number} hours.
Please always answer me in {language}.
I live with {person} and two {animal}s near the {venue}.
I'd rather walk to the {venue} than take the bus, {person} thinks I'm mad.
My {relative} worked as a {job} for {number} years.
We named the boat after {person}.
I keep {number} jars of {food} in the cellar, don't ask.
{person} lent me {money} and I have to give it back in {month}.
It rained for {number} days in {place}, we played chess with {person}.
I signed up for a marathon in {place} on the {ordinal} of {month}.
{person} doesn't drink coffee, only tea from {place}.
My budget for the {thing} is {money}, not more.
The {team} people presented {project} and {person} was {feeling}.
I'm {feeling} because {person} didn't call {when}.
The kids want a {animal}, but our landlord in {place} says no.
There's a small {venue} behind the {venue} where I go with {person}.
I learned {hobby} from my {relative} when I was {number}.
We're painting the hall {colour}, {person} chose it.
I forgot to tell {person} that the {venue} is closed in {month}.
My dentist moved to {place}, so the {illness} has to wait.
{person} and {person} argued about {subject} the whole evening.
I need a {diet} recipe for {food} by {day}.
The landlord, {person}, wants {money} for the broken {thing}.
I'm saving {money} each month for a trip to {place}.
We saw {person} at the {venue} in {place}, such a coincidence.
The exam in {language} is on the {ordinal} of {month} at {time}.
""".strip().splitlines()

_OPENERS = ("", "", "", "By the way, ", "So, ", "Good news: ", "You know what? ", "Hm. ", "Quick update: ", "Oh, and ")
_TAILS = (
    "",
    "",
    "",
    "",
    " It was about time.",
    " {person} still can't believe it.",
    " I'll tell you more on {day}.",
    " That cost me {money}, though.",
    " Anyway, how would you go about it?",
    " I was so {feeling}!",
    " We talked about {subject} all the way to {place}.",
    " Please keep that in mind.",
    " It had been like that since {month}.",
)

_ANSWERED = """
That sounds wonderful! How did {person} take the news about {place}?
Noted: {day} at {time}, at the {venue}. Shall I remind you the evening before?
Sorry to hear about the {illness}. Rest, drink enough, and skip {hobby} until {day}.
For a {diet} version of {food}, swap the butter for olive oil and leave it for {number} minutes.
In {place} you could see the old {venue}, and {person} might enjoy the museum about {subject}.
A {colour} {thing} for {money} seems fair; ask whether the guarantee still runs.
Congratulations to {person}! A {job} in {place}, that is a big step.
I've put the {ordinal} of {month} down as {person}'s birthday.
You could start with {number} minutes of {language} a day, best together with {person}.
Two ideas: give the {team} team a week more, or cut {project} down to what {person} needs.
That must have been hard. Do you want to talk about why you felt {feeling}?
If the {animal} is still shy, give it {number} days and a quiet corner.
{tool} should do for that, but {tool} makes it easier to share with {person}.
Understood, I'll remember that {person} is allergic to {food}.
The train to {place} takes about {number} hours; the one at {time} is the cheapest.
""".strip().splitlines()

_DETAILS = """
First, check what {person} has already arranged in {place}, since the {venue} is often fully booked in {month}.
Then set {money} aside for the unexpected: a {thing} that breaks, or a night more than planned.
If it rains, the {venue} next to the {venue} is open until {time}, and {food} there is said to be excellent.
People who took up {hobby} late usually say the first {number} weeks are the hardest.
It helps to write down three things that made you {feeling}, and to look at them again on {day}.
The {team} team could take over the part of {project} that is written in {tool}.
For the {illness}, warmth and short walks do more than most of what is sold for {money}.
In {language} the same word stands for both, which is why {person} misunderstood it.
You mentioned {subject} before; there is a good exhibition about it in {place} until {month}.
A {diet} menu for {number} people is easy to cook ahead: {food}, a salad, and fruit.
""".strip().splitlines()

_ASKED = """
Where does my {relative} {person} live now?
Where did {person} move in {month}?
What is the name of my {colour} {animal}?
Which class do {person} and I take on {day}?
What can {person} not eat?
When is the train to {place}?
Where did I leave my {thing}?
What does {person} work as in {place}?
How much is the rent in {place}?
Which language did I start to learn with {person}?
How did I feel after the talk with {person} about {subject}?
By when does the {team} team want project {project}?
Who broke the {thing} and what did they pay?
When is the birthday of my {relative}?
What did {person} cook for dinner, was it {food}?
Why could I not do {hobby} on {day}?
Are we leaving {place} for {place}?
Do I prefer {tool} or {tool}?
Who found our {animal} near the {venue}?
What did I promise to bring to the {venue} on {day}?
When is the meeting with {person} about {project}?
How much did I get for the {colour} {thing}?
Is {person} allergic to {food}?
Who is getting married in {place} in {month}?
Which book about {subject} did I read?
At what time does my flight to {place} leave?
How far do I run around the {venue}?
What present did we buy for {person} for {money}?
What colour is the door of the new flat by the {venue}?
When does the {venue} in {place} close?
When did I quit my job as a {job}?
What is wrong with the {thing} next door since {month}?
How many chairs do we need at the {venue} on {day}?
After which time can {person} take calls on {day}?
When should my {illness} be gone, in {month}?
What broke when {team} moved to {tool}?
Who lent me {money} and when is it due?
what did {person} say about {place}
{person} {hobby} {place}
anything about {food} and {person}
plans for {place} in {month}
{project} deadline {month}
What should I cook for {person}, who is {diet}?
Recommend something for {person} who likes {hobby} and {subject}.
Which {venue} do I go to with {person}?
Who taught me {hobby}?
Why was {person} {feeling} about {project}?
What do {person} and {person} argue about?
How much do I save for the trip to {place}?
When is the exam in {language}, in {month}?
Summarise what I told you about {person} and the {thing}.
Do I have anything planned at {time} on {day} with {person}?
What did the dentist in {place} say about my {illness}?
Does the landlord {person} allow a {animal}?
""".strip().splitlines()

_ASKING = ("", "", "", "Remind me: ", "Do you remember? ", "Sorry, one more: ", "I forgot. ", "{person} asks: ")
_HINTS = ("", "", "", " I think it was {when}.", " It came up when we talked about {subject}.", " {person} may know.")


def _listed(words: str) -> tuple[str, ...]:
    return tuple(word.replace("-", " ") for word in words.split())


_LISTS = {slot: _listed(words) for slot, words in _WORDS.items()}


@dataclass(frozen=True)
class Turn:
    """One message of a conversation, before it has a tenant."""

    conversation: int
    role: str
    name: str | None
    content: str


class TenantTexts:
    """Generates the messages and questions of one tenant.

    Two instances with the same seed and number have the same people, and with the same speaker too the same texts.
    """

    def __init__(self, number: int, seed: int = 0, speaker: int = 0) -> None:
        self._people = random.Random(f"{seed}/{number}").sample(_LISTS["person"], _CIRCLE)
        self._random = random.Random(f"{seed}/{number}/{speaker}")
        self._slots = _Slots(self._random, self._people)

    def turns(self, count: int, per_conversation: int = 20) -> list[Turn]:
        """Return conversations of `per_conversation` turns each, in which a person and the assistant alternate."""
        return [self._turn(index // per_conversation, index) for index in range(count)]

    def query(self) -> str:
        """Return a question about earlier messages."""
        pick = self._random.choice
        return self._filled(pick(_ASKING) + pick(_ASKED) + pick(_HINTS))

    def _turn(self, conversation: int, index: int) -> Turn:
        if index % 2:
            return Turn(conversation, "assistant", None, self._answer())
        return Turn(conversation, "user", self._people[conversation % 2], self._statement())

    def _statement(self) -> str:
        pick = self._random.choice
        return self._filled(pick(_OPENERS) + pick(_SAID) + pick(_TAILS))

    def _answer(self) -> str:
        """Return an answer, mostly short and now and then long, as of a real assistant."""
        details = self._random.choices((0, 1, 4), weights=(6, 3, 1))[0]
        return self._filled(" ".join([self._random.choice(_ANSWERED), *self._random.sample(_DETAILS, details)]))

    def _filled(self, template: str) -> str:
        return string.Formatter().vformat(template, (), self._slots)


class _Slots(dict[str, str]):
    """Fills each slot with a random word."""

    def __init__(self, source: random.Random, people: list[str]) -> None:
        super().__init__()
        self._random = source
        self._people = people

    def __missing__(self, slot: str) -> str:
        number = self._random.randrange
        match slot:
            case "person":
                return self._random.choice(self._people)
            case "number":
                return str(number(2, 60))
            case "ordinal":
                return _ordinal(number(1, 29))
            case "money":
                return f"{number(2, 400) * 5} euros"
            case "time":
                return f"{number(6, 23)}:{number(0, 12) * 5:02}"
            case _:
                return self._random.choice(_LISTS[slot])


def booking_code() -> str:
    """Return a word that no other message contains, in any run: the only text that does not depend on the seed."""
    return "".join(random.SystemRandom().choices(string.ascii_lowercase, k=14))


def distinct_queries(tenants: int, seed: int = 0) -> Iterator[tuple[int, str]]:
    """Yield (tenant, query) pairs for ever, cycling through the tenants, no query twice."""
    asking = [TenantTexts(number, seed) for number in range(tenants)]
    asked: set[str] = set()
    while True:
        for number, texts in enumerate(asking):
            query = texts.query()
            while query in asked:
                query = f"{query} {texts.query()}"
            asked.add(query)
            yield number, query


def _ordinal(number: int) -> str:
    suffix = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
