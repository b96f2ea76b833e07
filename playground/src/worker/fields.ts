/** Fields of a message that the event shows, too: where in its JSON. */
