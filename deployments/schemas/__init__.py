"""Types that cross layers: requests, answers, and the results of storage."""
