"""English words with little meaning of their own, and first-person words of some other languages."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIRST_PERSON = _words(
    "i i'm i've i'd i'll im ive me my mine myself we we're we've we'd we'll us our ours ich mich mir "
    "mein meine je j'ai moi mon mes yo mi mis eu meu minha я мы мне меня мой моя أنا 我 私 僕 나 저"
)
SECOND_PERSON = _words("you your yours you're you've you'll you'd yourself u ur")
FUNCTION_WORDS = _words(
    "a about actually after again all also always am an and another any anything are as at back be "
    "because been before being both but by can can't could did didn't do does doing don't down each "
    "even every everything for from get getting give go going got had has have having he he's her here "
    "here's hers him his how if in into is isn't it it's its just keep kind know let let's like lot "
    "make makes making many maybe mean more most much need new not now of off on one only or other out "
    "over own people please really right said same say see she she's should so some something still "
    "stuff such take tell than that that's the their them then there there's these they they're thing "
    "things think this those though time to too try up use very want was wasn't way well were what "
    "what's when where which while who why will with won't would yet"
)
