"""Types that cross layers: requests, answers, and what storage gives to those who call it."""
