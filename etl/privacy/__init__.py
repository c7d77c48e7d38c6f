"""What is personal: trait hashes, and raw records with personal values replaced."""
