// Functions without bodies in this package are the runtime's.
