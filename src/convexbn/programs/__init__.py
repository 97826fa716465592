"""The convex programs, their terms, and the referee that certifies what solves them."""
