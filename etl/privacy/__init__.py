"""Personal data: hashes of traits, and raw records with personal values replaced."""
