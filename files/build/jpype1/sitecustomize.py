"""Let the setup.py of JPype1 0.7.1 find the array method that Python lost with 3.9."""

import array


class Array(array.array):
    """An array with `frombytes` under its older name, too."""

    fromstring = array.array.frombytes


array.array = Array
