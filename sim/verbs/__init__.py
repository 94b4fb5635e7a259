"""The verbs of the ``pagewalk`` command, one per file; ``common`` holds what they share."""
