"""Where photographs and landmarks come from: CelebA and its annotation formats."""
