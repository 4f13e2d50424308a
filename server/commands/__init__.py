"""What each `ostiary` subcommand does. They speak to a gateway as its user, never to the store."""
