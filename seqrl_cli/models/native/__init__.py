"""C++ that is compiled for the processor that it runs on: the steps of a GPT, and linear layers."""
