"""A GPT's decoder in C++, compiled for the processor that it runs on."""
