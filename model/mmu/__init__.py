"""What the hardware must do: the golden model of address translation."""
