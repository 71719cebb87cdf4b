"""The roof: what people type. One file a command group; nothing imports it."""
