"""The hardware in an FPGA: its area, and the clock it can run at."""
