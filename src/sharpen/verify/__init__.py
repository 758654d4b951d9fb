"""What is measured, and how: suites of cases, scorers of replies, pairs of scores."""
