"""What is to be sent later: kept until it is due, moved, released, cancelled."""
