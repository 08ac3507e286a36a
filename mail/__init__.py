"""E-mail: addresses, what is said in which language, how it goes out, and what comes back."""
