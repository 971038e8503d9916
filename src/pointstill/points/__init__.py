"""What a cloud is: what its points have, when it is sound, in which order they come."""
