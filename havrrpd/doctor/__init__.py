"""What is wrong with a node, and the sentence that mends it: before it bites.

`looking` sees (facts), `rules` judge (findings), `report` says. A rule is a pure function of the
facts, so it is tested without a node; nothing is changed and nothing is started by looking.
"""
