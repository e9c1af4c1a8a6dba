"""Okabe & Ito's colours, which can be told apart with every kind of colour vision."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = COLOURS
GREY = "#8c8c8c"
