"""Sources: which recordings there are, who sings in them, and which are held out."""
