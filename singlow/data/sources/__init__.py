"""Sources: find and label recordings, and choose those that are held out."""
