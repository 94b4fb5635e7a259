"""File systems as programs see them: names, nodes, links, and a folder of the host below."""
