"""Where attribution is lost: answers from published tables, each a small frame, and the reports made of them."""
