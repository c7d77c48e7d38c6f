"""Answers where attribution is lost: small frames made from published tables, and the reports that show them."""
