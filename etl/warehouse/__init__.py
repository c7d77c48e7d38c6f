"""A warehouse: four Delta tables that are a function of the set of inputs loaded, whatever happened on the way."""
