"""The approval page: people sign in with their browser, read requests and decide on them."""
