"""What decoders share: their interface, and the parts that several of them are made of."""
