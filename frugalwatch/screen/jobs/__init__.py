"""The Jobs view: every run there is, filtered, sorted, marked."""
