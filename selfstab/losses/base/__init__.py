"""The contract of a loss, and what every loss inherits from it.

``loss`` says what a subclass defines; ``starts`` draws first weights and flips, ``newton`` finds minima,
``fingerprint`` identifies a loss in a store. What holds for one kind of loss only goes into the folder of that
kind.
"""
