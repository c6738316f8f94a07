"""Prompts for distillation: free chat requests, and the llm agent's prompts."""

from __future__ import annotations

import random
import re
from typing import Any

from tasteshift.agents.llm.agent import LlmAgent
from tasteshift.agents.llm.prompt import encode
from tasteshift.benchmarks.workloads import USERS
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.records import Generation
from tasteshift.suites.engine.conversion import to_env_action, to_observation

SLOTS = {
    "film": """Heat; Alien; Casablanca; Toy Story; Fargo; The Matrix; Amélie; Jaws; Rear Window;
        Blade Runner; Groundhog Day; The Godfather; Spirited Away; Psycho; Titanic; Babe;
        Speed; Metropolis; The Shining; Seven Samurai; Goodfellas; Vertigo; Chinatown;
        Gandhi; Rocky; The Lion King; Apollo 13; Some Like It Hot; Pulp Fiction; The Sting""",
    "genre": """comedy; horror; science fiction; drama; western; romance; documentary; thriller;
        animation; crime; war; musical; fantasy; adventure; film noir; mystery; action""",
    "animal": """cat; dog; owl; whale; bee; horse; octopus; wolf; frog; elephant; crow; spider;
        salmon; tortoise; fox; penguin; bat; ant; camel; dolphin""",
    "thing": """bicycle; teapot; umbrella; telescope; guitar; lamp; clock; notebook; radio; tent;
        camera; candle; ladder; mirror; backpack; kettle; printer; compass; violin; chair;
        knife; refrigerator; map; blanket; battery; window; scarf; telephone; microscope;
        boat""",
    "topic": """photosynthesis; inflation; gravity; the water cycle; vaccines; the French
        Revolution; black holes; evolution; the internet; democracy; earthquakes; recycling;
        the Roman Empire; probability; DNA; supply and demand; rainbows; the moon landing;
        tides; electricity; climate change; the printing press; machine learning; insurance;
        fermentation; glaciers; the immune system; plate tectonics; jazz; chess; perspective
        in painting; sleep; memory; volcanoes; the stock market; encryption; antibiotics;
        solar panels; the Silk Road; habits""",
    "place": """Paris; Tokyo; Brazil; Iceland; the desert; a small village; New York; Kenya; Rome;
        the mountains; Lisbon; India; the seaside; a big city; Norway; Cairo; Mexico;
        Canada; Vienna; New Zealand; Istanbul; Peru; Prague; Scotland; Vietnam; Chicago""",
    "job": """nurse; teacher; carpenter; pilot; librarian; farmer; software engineer; chef; judge;
        journalist; plumber; astronaut; gardener; lawyer; waiter; actor; scientist; baker;
        driver; firefighter; tailor; musician; shopkeeper; detective; translator;
        photographer""",
    "food": """soup; pancakes; pasta; rice; salad; bread; curry; an omelette; apple pie; tacos;
        dumplings; pizza; lentils; roast vegetables; sushi; porridge; cookies; fish; stew;
        noodles""",
    "hobby": """running; painting; chess; gardening; photography; cooking; hiking; knitting;
        swimming; reading; the piano; birdwatching; pottery; dancing; woodworking; climbing;
        board games; fishing; yoga; singing; cycling; calligraphy; collecting stamps;
        astronomy""",
    "mood": """tired; cheerful; bored; curious; sad; nervous; lonely; excited; angry; calm;
        nostalgic; homesick; inspired; stressed; hopeful; restless""",
    "who": """my sister; a friend; my grandmother; my boss; a child; my neighbour; a colleague; my
        brother; my parents; a stranger; my teacher; my partner; a customer; my roommate""",
    "name": """Anna; Ben; Carlos; Dina; Emre; Fatima; George; Hana; Ivan; Julia; Kofi; Lena; Marco;
        Nadia; Omar; Priya; Quentin; Rosa; Sam; Tomas; Uma; Vera; Will; Yuki; Zoe""",
    "lang": "Python; JavaScript; C; SQL; Rust; Java",
    "task": """reverses a string; adds two numbers; counts the words in a text; finds the largest
        number in a list; checks whether a number is prime; sorts a list of names; computes
        the average of a list; removes duplicates; reads a file line by line; prints a
        triangle""",
    "n": "two; three; four; five; six; seven; ten",
    "size": "one sentence; two sentences; a short paragraph; three short paragraphs; a few words",
    "number": "3; 5; 7; 8; 12; 15; 17; 20; 24; 30; 45; 60; 75; 90; 120; 144; 250",
}

TEMPLATES = """
What is {topic}?
Explain {topic} in {size}.
Explain {topic} to {who}.
Why does {topic} matter?
What are {n} common misunderstandings about {topic}?
Give me {n} facts about {topic}.
What is the history of {topic}?
How is {topic} connected to {topic}?
Write a short essay about {topic}.
Summarize what you know about {topic} in {n} points.
What would the world be like without {topic}?
Who should learn about {topic}, and why?
Write {n} quiz questions about {topic} with answers.
Is it hard to understand {topic}? How should I begin?
Tell me about the film {film}.
What is {film} about?
I liked {film}. What should I watch next?
I loved {film} and {film}. What do they have in common?
Did people like {film} when it came out?
Compare {film} with {film}.
Write a short review of {film}.
Write a negative review of {film}.
Which {genre} films would you recommend to {who}?
I am {mood} tonight and in the mood for {genre}. What do you suggest?
I am tired of {genre} films. What else could I try?
Name {n} {genre} films and say why each is good.
What makes a good {genre} film?
My taste has changed from {genre} to {genre}. Which films fit?
We are {n} friends who cannot agree: some want {genre}, some want {genre}. Help us.
Which film would you show to {who} who likes {genre}, and why?
Invent the plot of a {genre} film set in {place}.
Write the opening scene of a {genre} film about a {job}.
Make up a title and a tagline for a {genre} film with a {animal}.
What is the difference between {genre} and {genre}?
Should {who} see {film}? Answer in {size}.
Plan a film evening with {n} {genre} films.
Describe my taste if my favourite films are {film}, {film} and {film}.
How do you make {food}?
Give me a simple recipe for {food}.
What can I cook with {food} left over from yesterday?
Write a shopping list for {food} and {food}.
What goes well with {food}?
How can I make {food} healthier?
Plan {n} dinners for a busy week.
What should I eat before {hobby}?
How do I start with {hobby}?
Is {hobby} a good hobby for {who}?
List {n} reasons to take up {hobby}.
What do I need to buy for {hobby}?
Which is better when I am {mood}: {hobby} or {hobby}?
Make a weekly plan for learning {hobby}.
Write a poem about {hobby}.
I feel {mood} today. What can I do?
How can I help {who} who is {mood}?
Why do people feel {mood}?
Write a kind message to {who} who feels {mood}.
What does a {job} do all day?
What should I study to become a {job}?
Would a {job} enjoy {hobby}? Why?
Describe a day in the life of a {job} in {place}.
What questions are asked when a {job} is hired?
Write a job advertisement for a {job}.
Write a letter of thanks to a {job}.
Tell a joke about a {job} and a {animal}.
Write an email to {who} about a broken {thing}.
Write a letter to {who} from {place}.
Write an invitation to a party for {name}.
Write an apology to {who} for losing a {thing}.
Write a polite complaint about a {thing} that does not work.
Write a postcard from {place} in {size}.
Write a birthday message for {name}, who loves {hobby}.
Write a speech of {size} for the wedding of {name} and {name}.
Write a diary entry of a {mood} {job}.
Tell me a story about a {animal} and a {thing}.
Tell a bedtime story about {name} and a {animal}.
Write the beginning of a story set in {place}.
Write a dialogue between a {animal} and a {job}.
Write a dialogue in which {name} asks {name} for a {thing}.
Continue the story: {name} opened the door and saw a {animal}.
Write a poem about a {thing} in {place}.
Write a haiku about a {animal}.
Write a limerick about {name}, a {job}.
Write a song about {place}.
Describe a {thing} without saying what it is.
How does a {thing} work?
Who invented the {thing}?
What should I look for when I buy a {thing}?
List {n} unusual uses for a {thing}.
How do I repair a {thing}?
Write an advertisement for a {thing}.
Which is more useful, a {thing} or a {thing}?
What do I pack for a trip to {place}?
Plan {n} days in {place}.
What is {place} famous for?
What is the weather like in {place}?
Compare life in {place} with life in {place}.
How do people travel in {place}?
Where does a {animal} live and what does it eat?
What is the difference between a {animal} and a {animal}?
Give {n} facts about the {animal}.
Can a {animal} live with a {animal}?
Describe a {animal} in {size}.
Write a {lang} function that {task}.
Explain how to write a {lang} program that {task}.
What is {lang} good for?
Fix this sentence: "Me and {name} goes to {place} yesterday."
Rewrite politely: "Give me the {thing} now, {name}."
Make this shorter: "{name}, who works as a {job} in {place}, told me that the {thing} was broken."
Translate into French: "{name} has a {animal} and a {thing}."
Translate into Spanish: "I am {mood} and I want {food}."
Find a synonym for "{mood}" and use it in a sentence.
What is {number} times {number}?
{name} has {number} apples and gives away {n}. How many are left?
A train leaves {place} at {number} miles an hour. What else must I know to say when it arrives?
Convert {number} degrees Fahrenheit to Celsius.
Which is larger, {number} or {number}? Explain.
List the first {n} {animal} names that come to mind for a pet.
Suggest {n} names for a shop that sells a {thing}.
Write {n} questions to ask {who}.
Give me {n} tips for {hobby} in {place}.
What are the pros and cons of {hobby}?
Argue for and against {topic} in schools.
Pretend to be a {job} and explain {topic}.
Explain {topic} as if you were a {animal}.
Write a news report about a {animal} that was seen in {place}.
Classify as happy or sad, and explain: "{name} felt {mood} after seeing {film}."
Extract the names: "{name}, {name} and {name} met a {job} in {place}."
Answer with a JSON object that has the keys "title" and "year" for the film {film}.
Make a table of {n} films with title, year and genre.
Sort these words by length: {animal}, {thing}, {hobby}.
What is the meaning of life for a {job}?
Say hello to {name} and ask about {hobby}.
Give {who} advice on how to save money for a {thing}.
What would you say to {who} who forgot a {thing} in {place}?
Write {size} about {place}.
Write {size} about a {mood} {animal}.
""".strip().splitlines()

_SLOT = re.compile(r"{(\w+)}")
_WORDS = {
    slot: [" ".join(one.split()) for one in words.split(";")] for slot, words in SLOTS.items()
}

SYSTEMS = (
    "You are a helpful assistant.",
    "Answer briefly.",
    "You recommend films.",
    "Be kind and clear.",
)


def prompts_of(
    kind: str, tokenizer: Any, seed: int, exclude_benchmark: bool = False
) -> list[list[int]]:
    """Token ids of many different prompts: ``general`` or ``recommender``.

    exclude_benchmark  leave out the users of the benchmark
    """
    if kind == "general":
        return general(tokenizer, seed)
    return recommender(tokenizer, seed, exclude_benchmark=exclude_benchmark)


def general(tokenizer: Any, seed: int, count: int = 12_000) -> list[list[int]]:
    """Chat requests from the templates, some below a system prompt."""
    chance = random.Random(seed)
    found: dict[str, list[int]] = {}
    while len(found) < count:
        words = _SLOT.sub(lambda slot: chance.choice(_WORDS[slot[1]]), chance.choice(TEMPLATES))
        chat = [{"role": "user", "content": words}]
        if chance.random() < 0.15:
            chat.insert(0, {"role": "system", "content": chance.choice(SYSTEMS)})
        found[words] = encode(tokenizer, chat, "")
    return list(found.values())


class PromptRecorder:
    """A decoder that generates nothing and records its prompts."""

    def __init__(self, tokenizer: Any) -> None:
        self.pair = self
        self.tokenizer = tokenizer
        self.asked: list[tuple[int, ...]] = []

    def generate(self, prompt: list[int], limit: int, seed: int | None = None) -> Generation:
        """Generate nothing, so that the agent shows what it retrieved."""
        self.asked.append(tuple(prompt))
        return Generation(len(prompt), (), (), 0.0, 0.0)


def recommender(
    tokenizer: Any, seed: int, seeds: int = 3, users: int = 25, exclude_benchmark: bool = False
) -> list[list[int]]:
    """First prompts of the `llm` agent in every turn, on environment seeds that no suite uses.

    exclude_benchmark  leave out the benchmark's users, whom environment seed 0 draws first
    """
    found: dict[tuple[int, ...], None] = {}
    for env_seed in range(seed, seed + seeds):
        for catalog in ("movielens-100k", "synthetic"):
            env = Lifelong(catalog, "stationary", sessions=4, turns=3)
            recorder = PromptRecorder(tokenizer)
            agent = LlmAgent(decoder=recorder)
            agent.prepare(public_data(env.world, seed=env_seed))
            excluded = env.world.sample_users(0, USERS) if exclude_benchmark else ()
            for user in [user for user in env.world.eligible_users() if user not in excluded][
                :users
            ]:
                values, _ = env.reset(seed=env_seed, options={"user": user})
                session, over = agent.start(env.brief(env_seed + user)), False
                while not over:
                    recorder.asked.clear()
                    action = session.act(to_observation(values))
                    found[recorder.asked[0]] = None
                    values, _, _, over, _ = env.step(
                        to_env_action(action.slate, env.world.slate_size)
                    )
    prompts = [list(prompt) for prompt in found]
    random.Random(seed).shuffle(prompts)
    return prompts
