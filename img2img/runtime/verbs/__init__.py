"""What is done to pictures: one module a verb, all with the same face (`verb.Verb`)."""
