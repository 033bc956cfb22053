"""Pictures for people who want to look: the steps of one face, and sheets of many."""
