"""Who may do what: accounts and tokens, how a request proves whose it is, and what that lets it do."""
