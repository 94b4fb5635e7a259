"""The replay of a real kernel's page-allocator events on the model's buddy allocator."""
