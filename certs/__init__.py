"""The webhook's serving certificate: issued, kept in Secrets, told to the API server, reloaded while serving."""
