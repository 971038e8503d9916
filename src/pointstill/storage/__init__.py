"""Files that are whole or not there, locks that end with their process, paths, object stores."""
