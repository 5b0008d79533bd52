"""A GPT's decoder, and linear layers, in C++ that is compiled for the processor that it runs on."""
