"""How well plans do on stored samples, without sampling anything anew."""
