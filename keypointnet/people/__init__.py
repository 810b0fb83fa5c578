"""A synthetic crowd: people of all kinds, posed, dressed and put into scenes; needs no labels."""
