"""The bias of gradient descent towards the large singular directions."""
