"""What may happen: facts about a request, and the decision on them. Imports none of ours."""
