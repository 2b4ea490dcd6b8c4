"""What happened to messages, told to those who sent them: events, endpoints, deliveries."""
