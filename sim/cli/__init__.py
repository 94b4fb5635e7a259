"""The ``pagewalk`` command: a file for each verb; ``common`` holds what verbs share."""
