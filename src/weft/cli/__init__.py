"""The command line: a door. It reads words, calls `weft.app` and its neighbours, and shows what they say."""
