"""Voice conversion, speaker identification and enrollment of new voices with a trained run."""
