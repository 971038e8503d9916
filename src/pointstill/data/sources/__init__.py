"""One file a way in which labelled clouds lie in a folder."""
