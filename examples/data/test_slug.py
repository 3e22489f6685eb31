"""A small suite for the matrix example: it passes under every hash seed and optimisation level."""

# ruff: noqa: PT009 - an assert is gone under PYTHONOPTIMIZE

import unittest


def slug(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


class Slugs(unittest.TestCase):
    def test_words_are_joined_by_hyphens(self) -> None:
        self.assertEqual(slug("Warp and Weft!"), "warp-and-weft")

    def test_sets_of_slugs_do_not_depend_on_their_order(self) -> None:
        self.assertEqual({slug(t) for t in ("A b", "C d")}, {slug(t) for t in ("C d", "A b")})


if __name__ == "__main__":
    unittest.main()
