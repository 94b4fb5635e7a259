"""User address spaces as Linux 6.1 keeps them: mappings, and the calls that change them."""
