"""The page on which clouds are dropped, behind a server or as files alone; free of torch."""
