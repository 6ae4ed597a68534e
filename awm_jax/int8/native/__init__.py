"""The integer world step in portable C99. `awm.h` is its interface, `image` its input's layout."""
